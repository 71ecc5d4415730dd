// Functions that need no browser: the text of queries and of hostile names. TypeScript is stripped here; nothing is built.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import ts from "typescript";

/** A file of src/lib as an address that can be imported, with those that it imports. */
function address(file) {
  const source = readFileSync(new URL(`../src/lib/${file}.ts`, import.meta.url), "utf8");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const whole = outputText.replace(/from "\.\/(\w+)"/g, (_, name) => `from "${address(name)}"`);
  return `data:text/javascript;base64,${Buffer.from(whole).toString("base64")}`;
}

const load = (file) => import(address(file));

const q = await load("query");
const text = await load("text");
const mitre = await load("mitre");
const rules = await load("rules");
const priority = await load("priority");

test("priorities are the server's, in its order", () => {
  const api = JSON.parse(readFileSync(new URL("../openapi.json", import.meta.url), "utf8"));
  assert.deepEqual(priority.PRIORITIES, api.components.schemas.PriorityName.enum);
});

test("terms are found as the server finds them", () => {
  const found = q.terms('a -rule:"Terminal sh\\"ell*" tag:(T1059 T1611) fd.name!=/x container.label[a/b]=c priority>=warning "x:y"');
  assert.deepEqual(
    found.map((t) => [t.not, t.key, t.op, t.value]),
    [
      [false, "", "", "a"],
      [true, "rule", ":", 'Terminal sh"ell*'],
      [false, "tag", ":", "(T1059 T1611)"],
      [true, "fd.name", "!=", "/x"],
      [false, "container.label[a/b]", "=", "c"],
      [false, "priority", ">=", "warning"],
      [false, "", "", "x:y"],
    ],
  );
  assert.deepEqual(q.terms('  "open').map((t) => t.value), ["open"]);
});

test("narrowing takes the place of what was there", () => {
  assert.equal(q.only("since:2h", "rule", "Terminal shell"), 'since:2h rule:"Terminal shell"');
  assert.equal(q.only("host:a x -host:b", "host", "b"), "x host:b");
  assert.equal(q.only("priority>=warning", "priority", "Error"), "priority:Error");
  assert.equal(q.only("tag:a", "tag", "b"), "tag:a tag:b");
  assert.equal(q.without("host:a", "host", "a"), "-host:a");
  assert.equal(q.without("-host:a", "host", "b"), "-host:a -host:b");
  assert.equal(q.clear('rule:"A b" x', "rule", "A b"), "x");
  assert.ok(q.has('rule:"A b"', "rule", "a B"));
});

test("any value survives being quoted", () => {
  for (const value of ["nginx:1.29", "a b", '"', "\\", "a*", "(x", "a,b", "", "-x", "ü", "\u202e\n"]) {
    const [term, ...more] = q.terms(`host:${q.quote(value)}`);
    assert.deepEqual([term.value, more.length], [value, 0], value);
  }
});

test("the time range is a part of the query", () => {
  assert.deepEqual(q.range("x since:2h"), { since: "2h", until: null });
  assert.equal(q.withRange("since:2h x", { since: "1h", until: "5m" }), "x since:1h until:5m");
  assert.equal(q.withoutRange("since:2h until:1h x"), "x");
  assert.equal(q.instant(1763994162070), "2025-11-24T14:22:42Z");
});

test("what is not seen is shown", () => {
  assert.equal(text.plain("a\u202eb\u200b\n\t\0\u{e0041}\ud800"), "a\\u{202e}b\\u{200b}\\n\\t\\u{0}\\u{e0041}\\u{d800}");
  assert.equal(text.plain("Grüße, 你好, שלום 🙂"), "Grüße, 你好, שלום 🙂");
  assert.deepEqual(text.sentence("Shell spawned | user=root x=1"), { lead: "Shell spawned", rest: "user=root x=1" });
  assert.deepEqual(text.sentence("Shell (user=root)"), { lead: "Shell", rest: "(user=root)" });
  assert.deepEqual(text.sentence("plain words"), { lead: "plain words", rest: "" });
  const all = "Container spawned | container=web user=<NA> image=<NA>:<NA> container_id=1 container_name=web k8s_ns_name=<NA>";
  assert.deepEqual(text.inRow(all, "Container Spawned"), { lead: "", rest: "container=web" });
  assert.deepEqual(text.inRow("Read | command=a container_id=x b", "Other"), {
    lead: "Read",
    rest: "command=a container_id=x b",
  });
  assert.deepEqual(text.inRow("Rule", "Rule"), { lead: "Rule", rest: "" });
});

test("MITRE names lead to their explanation", () => {
  assert.equal(mitre.explained("T1059.004"), "https://attack.mitre.org/techniques/T1059/004/");
  assert.equal(mitre.explained("mitre_execution"), "https://attack.mitre.org/tactics/TA0002/");
  assert.equal(mitre.explained("network"), null);
});

test("rules are found by any of their words and stand in the order asked for", () => {
  const rule = (name, priority, matched, cost, more = {}) => ({
    name, priority, matched, evaluated: 10 * matched, ns_per_event: cost, source: "syscall", tags: ["T1059"], desc: "Who", status: "active",
    reason: null, ...more,
  });
  const all = [rule("b", "Notice", 1, null), rule("a", "Error", 1, 2), rule("c", "Debug", 5, 1, { status: "disabled" })];
  const order = (key) => rules.ruleOrder(all, key, (name) => (name === "c" ? 3 : 0)).map((r) => r.name).join("");
  assert.deepEqual(["order", "name", "alerts", "matched", "cost"].map(order), ["bac", "abc", "cab", "cab", "acb"]);
  const found = (find) => all.filter((r) => rules.ruleFits(r, find)).map((r) => r.name).join("");
  assert.deepEqual(["", "t1059 who", "off", "error", "b x"].map(found), ["bac", "bac", "c", "a", ""]);
});
