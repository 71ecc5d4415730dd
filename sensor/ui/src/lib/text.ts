// Text from outside is data: whatever a terminal or browser would act on is made visible.

export interface Piece {
  text: string;
  /** Stands for a character that is not seen; `text` is its escape. */
  odd: boolean;
}

// Controls, invisible and formatting characters, unusual spaces, bidi controls, tags, lone surrogates.
const ODD =
  /[\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]|\p{Cs}|\p{Co}/gu;

function escape(c: string): string {
  switch (c) {
    case "\n":
      return "\\n";
    case "\r":
      return "\\r";
    case "\t":
      return "\\t";
    default:
      return `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`;
  }
}

/** Cuts `text` into seen and escaped pieces. */
export function reveal(text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const match of text.matchAll(ODD)) {
    if (match.index > at) pieces.push({ text: text.slice(at, match.index), odd: false });
    pieces.push({ text: escape(match[0]), odd: true });
    at = match.index + match[0].length;
  }
  if (at < text.length) pieces.push({ text: text.slice(at), odd: false });
  return pieces;
}

/** [`reveal`] as one string, for titles and names. */
export const plain = (text: string): string => text.replace(ODD, escape);

/**
 * Falco's messages are a sentence followed by `key=value` pairs, after " | " or in parentheses: the sentence is what
 * one reads, the pairs are what one looks up.
 */
export function sentence(message: string): { lead: string; rest: string } {
  const cut = /\s+(?:\|\s*)?\(?[a-z][\w.]*=/i.exec(message);
  if (!cut || cut.index === 0) return { lead: message, rest: "" };
  return { lead: message.slice(0, cut.index), rest: message.slice(cut.index).replace(/^\s*\|?\s*/, "") };
}

/**
 * The sentence of a row, which shows rule, container and pod beside it: without a lead that only repeats the rule, without
 * what is not known, and without the fields that every alert ends with.
 */
export function inRow(message: string, rule: string): { lead: string; rest: string } {
  const { lead, rest } = sentence(message);
  const short = rest
    .replace(/(?:(?:^|\s+)(?:container_(?:id|name|image_repository|image_tag)|k8s_(?:pod|ns)_name)=\S*)+$/, "")
    .replace(/\b[\w.]+=(?:<NA>(?::<NA>)?)?(?=\s|$)/g, "")
    .replace(/\s+/g, " ")
    .trim();
  return lead.toLowerCase() === rule.toLowerCase() && short ? { lead: "", rest: short } : { lead, rest: short };
}

const compactFormat = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const wholeFormat = new Intl.NumberFormat("en");

/** 12,345 */
export const whole = (n: number): string => wholeFormat.format(n);
/** 1.2M from 100,000 on, so that a column keeps its width. */
export const count = (n: number): string => (n < 100_000 ? whole(n) : compactFormat.format(n));

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}
