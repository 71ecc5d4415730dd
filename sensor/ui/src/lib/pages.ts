// The pages of the app. A page is a row here, and an icon and a screen in `App.svelte`, where one that is missing does not compile.

export const PAGES = [
  { page: "overview", path: "/", name: "Overview", key: "o", opens: null, finds: false },
  { page: "alerts", path: "/alerts", name: "Alerts", key: "l", opens: "open", finds: false },
  { page: "rules", path: "/rules", name: "Rules", key: "r", opens: "rule", finds: true },
] as const;

export type Page = (typeof PAGES)[number]["page"];

/** The page of that name. */
export function pageOf(page: Page) {
  return PAGES.find((row) => row.page === page) ?? PAGES[0];
}

/** The page at that path; what is no page is the first one. */
export function pageAt(path: string): Page {
  return PAGES.find((row) => row.path !== "/" && path.startsWith(row.path))?.page ?? PAGES[0].page;
}
