// Times come as RFC 3339 with nanoseconds. Lists show them relative to now, with the exact one on hover.
import { settings } from "./settings.svelte";

class Clock {
  now = $state(Date.now());
  /** The server's clock minus ours, ms: the two may differ, and ages are told by the server's. */
  skew = $state(0);

  constructor() {
    setInterval(() => {
      if (!document.hidden) this.now = Date.now();
    }, 5000);
    document.addEventListener("visibilitychange", () => (this.now = Date.now()));
  }
}

export const clock = new Clock();

/** "12 s", "4 min", "3 h", "2 d". */
export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

/** Age of `time` as of the last tick. */
export function age(time: string): string {
  return span(clock.now + clock.skew - Date.parse(time));
}

const two = (n: number) => String(n).padStart(2, "0");

interface Parts {
  date: string;
  time: string;
  zone: string;
}

function parts(ms: number): Parts {
  const d = new Date(ms);
  if (Number.isNaN(ms)) return { date: "?", time: "?", zone: "" };
  if (settings.utc) {
    const iso = d.toISOString();
    return { date: iso.slice(0, 10), time: iso.slice(11, 19), zone: "UTC" };
  }
  const offset = -d.getTimezoneOffset();
  const sign = offset < 0 ? "−" : "+";
  const zone = `${sign}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return {
    date: `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`,
    time: `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`,
    zone,
  };
}

/** "2026-11-24 19:12:22.123456789 UTC": to the nanosecond, as it was sent. */
export function exact(time: string): string {
  const fraction = /\.(\d+)/.exec(time)?.[1]?.replace(/0+$/, "") ?? "";
  const p = parts(Date.parse(time));
  return `${p.date} ${p.time}${fraction ? `.${fraction}` : ""} ${p.zone}`;
}

/** "19:12:22" today, "11-24 19:12:22" on another day. */
export function brief(time: string): string {
  const p = parts(Date.parse(time));
  return p.date === parts(clock.now).date ? p.time : `${p.date.slice(5)} ${p.time}`;
}

/** A point on a chart's axis: as much as `step` (ms) needs. */
export function tick(ms: number, step: number): string {
  const p = parts(ms);
  if (step >= 86_400_000) return p.date.slice(5);
  if (step >= 60_000) return p.time === "00:00:00" ? p.date.slice(5) : p.time.slice(0, 5);
  return p.time;
}

export function dateAndTime(ms: number): string {
  const p = parts(ms);
  return `${p.date} ${p.time.endsWith(":00") ? p.time.slice(0, 5) : p.time}`;
}
