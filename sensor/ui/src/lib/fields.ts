// The server's list of fields, asked for once: what a field of a condition means.
import { api, type FieldHelp } from "../api/client";

let known: Promise<Map<string, FieldHelp>> | undefined;

/** Fields by name. After a failure the next one who asks asks the server again. */
export function fields(): Promise<Map<string, FieldHelp>> {
  known ??= api.fields().then(
    (all) => new Map(all.map((field) => [field.name, field])),
    (error: unknown) => {
      known = undefined;
      throw error;
    },
  );
  return known;
}
