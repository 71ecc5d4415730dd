// The typed client of the API. The types come from openapi.json, which the server generates from its own.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Summary = Schemas["Summary"];
export type Detail = Schemas["Detail"];
export type Process = Schemas["Process"];
export type Counts = Schemas["Counts"];
export type Group = Schemas["GroupName"];
export type Timeline = Schemas["Timeline"];
export type Status = Schemas["SystemStatus"];
export type Rules = Schemas["Rules"];
export type RuleRow = Schemas["RuleRow"];
export type RuleDetail = Schemas["RuleDetail"];
export type Batch = Schemas["Batch"];
export type QueryHelp = Schemas["QueryHelp"];
export type ConditionPart = Schemas["ConditionPart"];
export type FieldHelp = Schemas["FieldHelp"];

/** The server refused, or could not be reached (`status` 0). */
export class ApiFailure extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly at?: number | null,
    readonly len?: number | null,
  ) {
    super(message);
  }
}

const client = createClient<paths>({ baseUrl: "" });

let loggedOut = () => {};
/** Calls `then` when the server says that nobody is logged in. */
export function onLoggedOut(then: () => void) {
  loggedOut = then;
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

async function take<T>(answer: Promise<Answer<T>>): Promise<T> {
  let got: Answer<T>;
  try {
    got = await answer;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiFailure(0, "falconet does not answer");
  }
  if (got.response.ok) return got.data as T;
  const error = got.error as Partial<Schemas["ApiError"]> | undefined;
  const message = error?.message ?? `falconet answers ${got.response.status}`;
  if (got.response.status === 401) loggedOut();
  throw new ApiFailure(got.response.status, message, error?.at, error?.len);
}

export const api = {
  who: () => take(client.GET("/api/v1/session")),
  logIn: (user: string, password: string) =>
    take(client.POST("/api/v1/session", { body: { user, password } })),
  logOut: () => take(client.DELETE("/api/v1/session")),
  alerts: (query: string, before?: number, limit?: number, signal?: AbortSignal) =>
    take(client.GET("/api/v1/alerts", { params: { query: { query, before, limit } }, signal })),
  alert: (uuid: string, signal?: AbortSignal) =>
    take(client.GET("/api/v1/alerts/{uuid}", { params: { path: { uuid } }, signal })),
  counts: (query: string, by: Group[], limit: number, signal?: AbortSignal) =>
    take(client.GET("/api/v1/counts", { params: { query: { query, by: by.join(","), limit } }, signal })),
  timeline: (query: string, buckets: number, signal?: AbortSignal) =>
    take(client.GET("/api/v1/timeline", { params: { query: { query, buckets } }, signal })),
  help: (text: string, cursor: number, signal?: AbortSignal) =>
    take(client.GET("/api/v1/query", { params: { query: { text, cursor } }, signal })),
  fields: () => take(client.GET("/api/v1/fields")),
  rules: (signal?: AbortSignal) => take(client.GET("/api/v1/rules", { signal })),
  rule: (name: string, signal?: AbortSignal) =>
    take(client.GET("/api/v1/rules/one", { params: { query: { name } }, signal })),
  status: (signal?: AbortSignal) => take(client.GET("/api/v1/status", { signal })),
  test: () => take(client.POST("/api/v1/test")),
};
