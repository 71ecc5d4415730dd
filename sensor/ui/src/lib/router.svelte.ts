// The URL is the state: page, query and open alert. Links are plain `<a>`; a click on one becomes a history entry.

import { pageAt, pageOf, type Page } from "./pages";

export interface Place {
  page: Page;
  /** The query; what it does not say about time is all time. */
  q: string;
  /** `uuid` of the open alert. */
  open: string | null;
  /** Name of the open rule. */
  rule: string | null;
  /** What is searched for on a page that has a search of its own. */
  find: string;
}

/** What a first visit looks at. */
const DEFAULT_QUERY = "since:24h";

function read(): Place {
  const params = new URLSearchParams(location.search);
  return {
    page: pageAt(location.pathname),
    q: params.get("q") ?? DEFAULT_QUERY,
    open: params.get("open"),
    rule: params.get("rule"),
    find: params.get("find") ?? "",
  };
}

export const place: Place = $state(read());

/** The address of `place` with `changes`. */
export function href(changes: Partial<Place>): string {
  const to = { ...place, ...changes };
  const { path, opens, finds } = pageOf(to.page);
  const params = new URLSearchParams();
  params.set("q", to.q);
  const opened = opens && to[opens];
  if (opens && opened) params.set(opens, opened);
  if (finds && to.find) params.set("find", to.find);
  return `${path}?${params}`;
}

/** Goes there; `replace` leaves no history entry. */
export function go(changes: Partial<Place>, replace = false) {
  const url = href(changes);
  if (url === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  Object.assign(place, read());
}

/** Makes links inside the app and the Back button work; call once. */
export function startRouter() {
  history.replaceState(null, "", href({}));
  const popped = () => Object.assign(place, read());
  const clicked = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (!link || link.target || link.origin !== location.origin || link.pathname.startsWith("/api/")) return;
    event.preventDefault();
    if (link.href === location.href) return;
    history.pushState(null, "", link.href);
    popped();
  };
  addEventListener("popstate", popped);
  document.addEventListener("click", clicked);
  return () => {
    removeEventListener("popstate", popped);
    document.removeEventListener("click", clicked);
  };
}
