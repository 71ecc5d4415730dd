// Falco's priorities, most severe first: a number, a word, a shape and a colour (in app.css, `--p0` … `--p7`).
import type { Schemas } from "../api/client";

export type Priority = Schemas["PriorityName"];

/** In Falco's order, which a test compares with the server's; one that is missing does not compile. Shapes stand in a 16 by 16
 * box; two priorities never share one. */
const LOOKS: Record<Priority, { path: string; hollow?: true }> = {
  Emergency: { path: "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Z" },
  Alert: { path: "M8 1 15.5 14.5H.5Z" },
  Critical: { path: "M8 .5 15.5 8 8 15.5.5 8Z" },
  Error: { path: "M2 2h12v12H2Z" },
  Warning: { path: "M8 2.5 14 13.5H2Z", hollow: true },
  Notice: { path: "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0-11Z" },
  Informational: { path: "M8 3a5 5 0 1 1 0 10a5 5 0 1 1 0-10Z", hollow: true },
  Debug: { path: "M8 5.5a2.5 2.5 0 1 1 0 5a2.5 2.5 0 1 1 0-5Z" },
};

export const PRIORITIES = Object.keys(LOOKS) as readonly Priority[];
export const SHAPES = Object.values(LOOKS);

export const number = (priority: string): number => PRIORITIES.indexOf(priority as Priority);
