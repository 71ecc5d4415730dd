// The list of rules: which of them fit a search, and in which order they stand.
import type { RuleRow, Schemas } from "../api/client";
import { number } from "./priority";

export const STATES: Record<Schemas["RuleState"], { word: string; fires: boolean }> = {
  active: { word: "active", fires: true },
  limited: { word: "limited", fires: true },
  inactive: { word: "inactive", fires: false },
  disabled: { word: "off", fires: false },
  below_priority: { word: "below priority", fires: false },
};

/** `order`: as they are defined. */
export type RuleKey = "order" | "name" | "alerts" | "matched" | "evaluated" | "cost";

/** Every word is in the rule's name, tags, description, status, reason or priority. */
export function ruleFits(rule: RuleRow, find: string): boolean {
  const text = [rule.name, rule.desc, rule.priority, STATES[rule.status].word, rule.reason ?? "", ...rule.tags]
    .join("\n")
    .toLowerCase();
  return find
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** Numbers fall, names rise; what is equal stays in order of priority. */
export function ruleOrder(rules: RuleRow[], key: RuleKey, alerts: (name: string) => number): RuleRow[] {
  if (key === "order") return rules;
  const value = (rule: RuleRow): number => {
    switch (key) {
      case "alerts":
        return alerts(rule.name);
      case "matched":
        return rule.matched;
      case "evaluated":
        return rule.evaluated;
      default:
        return rule.ns_per_event ?? -1;
    }
  };
  return rules.toSorted((a, b) =>
    key === "name"
      ? a.name.localeCompare(b.name)
      : value(b) - value(a) || number(a.priority) - number(b.priority),
  );
}
