// MITRE ATT&CK names in the tags of rules: techniques as `T1059` or `T1059.004`, tactics as `mitre_execution`.

const TACTICS: Record<string, string> = {
  reconnaissance: "TA0043",
  resource_development: "TA0042",
  initial_access: "TA0001",
  execution: "TA0002",
  persistence: "TA0003",
  privilege_escalation: "TA0004",
  defense_evasion: "TA0005",
  credential_access: "TA0006",
  discovery: "TA0007",
  lateral_movement: "TA0008",
  collection: "TA0009",
  exfiltration: "TA0010",
  command_and_control: "TA0011",
  impact: "TA0040",
};

/** Where ATT&CK explains the tag, if it is one of its names. */
export function explained(tag: string): string | null {
  const technique = /^(T\d{4})(?:\.(\d{3}))?$/.exec(tag);
  if (technique) {
    const [, main, sub] = technique;
    return `https://attack.mitre.org/techniques/${main}/${sub ? `${sub}/` : ""}`;
  }
  const tactic = /^mitre_(\w+)$/.exec(tag)?.[1];
  const id = tactic ? TACTICS[tactic] : undefined;
  return id ? `https://attack.mitre.org/tactics/${id}/` : null;
}

/** The tag as people say it: `mitre_initial_access` is "initial access". */
export const spoken = (tag: string): string =>
  tag.startsWith("mitre_") ? tag.slice(6).replaceAll("_", " ") : tag;
