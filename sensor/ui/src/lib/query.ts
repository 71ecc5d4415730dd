// The query as text that links edit. The server parses it (alert/query.rs); here only terms are found and exchanged.

export interface Term {
  start: number;
  end: number;
  not: boolean;
  /** Empty for free text. */
  key: string;
  op: string;
  value: string;
}

const KEY = String.raw`([a-z_][\w.-]*(?:\[[^\]\s"]*\][\w.-]*)?)(!=|>=|<=|>|<|:|=)`;
const WORD = String.raw`(?:"(?:\\.|[^"\\])*"?|\\.|[^\s"\\])+`;
const TERM = new RegExp(String.raw`(-?)(?:${KEY}(\([^)]*\)?|${WORD})|(${WORD}))`, "giy");

export function terms(q: string): Term[] {
  const found: Term[] = [];
  let at = 0;
  while (at < q.length) {
    if (/\s/.test(q[at] ?? "")) {
      at += 1;
      continue;
    }
    TERM.lastIndex = at;
    const match = TERM.exec(q);
    if (!match || match[0].length === 0) {
      at += 1;
      continue;
    }
    const [all, not = "", key = "", op = "", value = "", text = ""] = match;
    found.push({
      start: at,
      end: at + all.length,
      not: (not === "-") !== (op === "!="),
      key,
      op,
      value: unquote(value || text),
    });
    at += all.length;
  }
  return found;
}

function unquote(value: string): string {
  return value.replace(/\\(.)|"/gs, "$1");
}

/** `value` as one word of the query, in which `*` and quotes stand for themselves. */
export function quote(value: string): string {
  if (/^[\w./@%+:-]+$/.test(value)) return value;
  return `"${value.replace(/[\\"*]/g, "\\$&")}"`;
}

const tidy = (q: string) => q.replace(/\s+/g, " ").trim();

function drop(q: string, gone: (term: Term) => boolean): string {
  let out = q;
  for (const term of terms(q).toReversed()) {
    if (gone(term)) out = out.slice(0, term.start) + out.slice(term.end);
  }
  return tidy(out);
}

const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

/** Only alerts with this value: it takes the place of another value of the same key; tags add up. */
export function only(q: string, key: string, value: string): string {
  const rest = drop(
    q,
    (t) => same(t.key, key) && (key !== "tag" || same(t.value, value)) && (!t.not || same(t.value, value)),
  );
  return tidy(`${rest} ${key}:${quote(value)}`);
}

/** No alerts with this value. */
export function without(q: string, key: string, value: string): string {
  const rest = drop(q, (t) => same(t.key, key) && same(t.value, value));
  return tidy(`${rest} -${key}:${quote(value)}`);
}

/** Whether `q` asks for this value only. */
export const has = (q: string, key: string, value: string): boolean =>
  terms(q).some((t) => !t.not && (t.op === ":" || t.op === "=") && same(t.key, key) && same(t.value, value));

/** `q` without the term that [`only`] added. */
export const clear = (q: string, key: string, value: string): string =>
  drop(q, (t) => !t.not && same(t.key, key) && same(t.value, value));

export interface Range {
  since: string | null;
  until: string | null;
}

export function range(q: string): Range {
  let since: string | null = null;
  let until: string | null = null;
  for (const t of terms(q)) {
    if (t.not || t.op !== ":") continue;
    if (same(t.key, "since")) since = t.value;
    if (same(t.key, "until")) until = t.value;
  }
  return { since, until };
}

/** Exchanges the time range; it goes to the end, where it is read last. */
export function withRange(q: string, { since, until }: Range): string {
  let out = drop(q, (t) => !t.not && (same(t.key, "since") || same(t.key, "until")));
  if (since) out += ` since:${since}`;
  if (until) out += ` until:${until}`;
  return tidy(out);
}

/** What is left when the time range is taken away. */
export const withoutRange = (q: string): string => withRange(q, { since: null, until: null });

/** A point in time as the query writes it, to the second. */
export const instant = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
