// Falco's priorities, most severe first: a number, a word, a shape and a colour (in app.css, `--p0` … `--p7`).
import type { Schemas } from "../api/client";

export type Priority = Schemas["PriorityName"];

export const PRIORITIES: readonly Priority[] = [
  "Emergency",
  "Alert",
  "Critical",
  "Error",
  "Warning",
  "Notice",
  "Informational",
  "Debug",
];

export const number = (priority: string): number => PRIORITIES.indexOf(priority as Priority);

/** Shapes in a 16 by 16 box; two priorities never share one. */
export const SHAPES: readonly { path: string; hollow?: true }[] = [
  { path: "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Z" },
  { path: "M8 1 15.5 14.5H.5Z" },
  { path: "M8 .5 15.5 8 8 15.5.5 8Z" },
  { path: "M2 2h12v12H2Z" },
  { path: "M8 2.5 14 13.5H2Z", hollow: true },
  { path: "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0-11Z" },
  { path: "M8 3a5 5 0 1 1 0 10a5 5 0 1 1 0-10Z", hollow: true },
  { path: "M8 5.5a2.5 2.5 0 1 1 0 5a2.5 2.5 0 1 1 0-5Z" },
];
