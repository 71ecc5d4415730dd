// What this browser remembers: theme and time zone.

export type Theme = "system" | "light" | "dark";

function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // Storage may be forbidden; then nothing is remembered.
  }
}

function store(key: string, value: string) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // As above.
  }
}

class Settings {
  theme: Theme = $state((["light", "dark"] as const).find((t) => t === stored("theme")) ?? "system");
  utc: boolean = $state(stored("zone") !== "local");
  private systemDark = $state(matchMedia("(prefers-color-scheme: dark)").matches);
  dark = $derived(this.theme === "dark" || (this.theme === "system" && this.systemDark));

  constructor() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => {
      this.systemDark = e.matches;
    });
  }

  setTheme(theme: Theme) {
    this.theme = theme;
    store("theme", theme);
  }

  setUtc(utc: boolean) {
    this.utc = utc;
    store("zone", utc ? "utc" : "local");
  }
}

export const settings = new Settings();
