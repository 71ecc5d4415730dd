// The web app in Chromium against real servers; started by tests/ui of the workspace, which sets FALCONET_UI_SERVERS.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PHONE, WIDE, accessible, fits, open, servers, settled, start, stop } from "./support.mjs";

before(start);
after(stop);

const rows = (page) => page.locator("[role=row]");
const query = (page) => new URL(page.url()).searchParams.get("q");
const param = (page, name) => new URL(page.url()).searchParams.get(name);
const LIST = "/alerts?q=since%3A24h";
const RULES = "/rules?q=since%3A24h";

test("log in, see, log out", async () => {
  const { page, finish } = await open("few", "/", { login: false });
  await page.getByLabel("Password").fill("guess");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "user or password is wrong" }).waitFor();
  await accessible(page, "login");
  await page.getByLabel("Password").fill(servers.password);
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Rules" }).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Password").waitFor();
  await page.goto(servers.few + LIST);
  await page.getByLabel("Password").waitFor();
  await finish();
});

for (const theme of ["light", "dark"]) {
  for (const size of [WIDE, PHONE]) {
    test(`readable for all: ${theme}, ${size.width} px`, async () => {
      const screens = [
        ["none", "/", "No alerts yet"],
        ["many", "/", "Namespaces"],
        ["many", LIST, "Live"],
        ["few", "/alerts?q=nonsense", "Nothing matches"],
        ["few", "/alerts?q=what:ever", "not understood"],
        ["few", "/alerts?q=hostile", "Critical"],
        ["many", RULES, "can fire"],
        ["many", `${RULES}&rule=Terminal+shell+in+container`, "As it is judged"],
      ];
      for (const [server, path, text] of screens) {
        const { page, finish } = await open(server, path, { size, theme });
        await page.getByText(text).first().waitFor();
        await settled(page);
        await accessible(page, `${server} ${path}`);
        await fits(page, `${server} ${path}`);
        if (path === "/alerts?q=hostile") {
          await rows(page).first().click({ position: { x: 20, y: 12 } });
          await page.getByRole("heading", { name: "Fields" }).waitFor();
          await page.getByText("Raw JSON").click();
          await accessible(page, "an open alert");
          await fits(page, "an open alert");
        }
        if (path === LIST) {
          await page.goto(`${servers[server]}/alerts?q=proc.name%3Acurl`);
          await rows(page).first().click({ position: { x: 20, y: 12 } });
          await page.getByRole("button", { name: "Open all" }).click();
          await page.locator("details.leaf summary").nth(2).click();
          await accessible(page, "a condition");
          await fits(page, "a condition");
        }
        if (server === "none" && size === WIDE) {
          await page.keyboard.press("?");
          await page.getByRole("dialog").waitFor();
          await accessible(page, "help");
        }
        await finish();
      }
    });
  }
}

test("what an attacker wrote is shown, not obeyed", async () => {
  const { page, finish } = await open("few", "/alerts?q=hostile");
  await rows(page).first().click({ position: { x: 20, y: 12 } });
  await page.getByRole("heading", { name: "Fields" }).waitFor();
  await page.getByText("Raw JSON").click();
  const seen = await page.evaluate(() => ({
    title: document.title,
    foreign: document.querySelectorAll("main img, main script, main b > script").length,
    text: document.querySelector("aside")?.textContent ?? "",
    bad: /[\u202e\u200b\ufeff\u0007]/.test(document.body.innerText),
  }));
  assert.notEqual(seen.title, "owned");
  assert.equal(seen.foreign, 0);
  assert.ok(seen.text.includes("<script>document.title='owned'</script>"));
  assert.ok(seen.text.includes("\\u{202e}gpj.exe\\u{200b}"));
  assert.ok(!seen.bad, "invisible characters are shown as escapes");
  assert.equal(seen.text.split("9007199254740993").length, 3, "integers keep all their digits, as field and raw");
  await page.goto(`${servers.few}/?q=hostile`);
  await page.getByRole("region", { name: "Containers" }).getByText("<img src=x").waitFor();
  await finish();
});

test("an alert says why: the condition, what it saw, what its fields mean", async () => {
  const { page, finish } = await open("many", '/alerts?q=since%3A24h%20proc.name%3Acurl');
  await rows(page).first().click({ position: { x: 20, y: 12 } });
  const why = page.getByRole("region", { name: "Why" });
  await why.waitFor();
  const shown = (text) => why.getByText(text, { exact: true }).isVisible();
  // What one need not read is closed: the macro, and the branch that did not matter.
  assert.ok(!(await shown("proc.name in (known_programs)")) && !(await shown("proc.pname = cron")));
  assert.ok(await shown("proc.cmdline icontains password"));
  await why.getByRole("button", { name: "Open all" }).click();
  assert.ok((await shown("proc.name in (known_programs)")) && (await shown("proc.pname = cron")));
  const text = await why.innerText();
  for (const part of ["container.id != host in_container", "by_known_program", "backups", "is sh, containerd-shim, systemd", "not shown because it may hold secrets"]) {
    assert.ok(text.includes(part), `${part} in ${text}`);
  }
  assert.ok(!text.includes("TOKEN"));
  // Not by colour alone.
  const leaf = why.locator("details.leaf").filter({ hasText: "proc.name in (known_programs)" });
  assert.ok((await leaf.locator("summary").textContent()).includes("false"));
  await leaf.locator("summary").click();
  assert.ok((await leaf.innerText()).includes("sshd, systemd-logind, passwd, chage"));
  await leaf.getByText("/etc/falco/rules.yaml:6:15").waitFor();
  const help = await page.evaluate(() => fetch("/api/v1/fields").then((answer) => answer.json()));
  await leaf.getByText(help.find((field) => field.name === "proc.name").doc).waitFor();
  // A value is a way to all alerts that have it.
  await why.getByRole("link", { name: "curl", exact: true }).first().click();
  await page.waitForFunction(() => new URL(location.href).searchParams.get("q")?.endsWith("proc.name:curl"));
  await finish();
});

test("the keys: move, open, close, search, help", async () => {
  const { page, finish } = await open("many", LIST);
  await rows(page).first().waitFor();
  await page.keyboard.press("p");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const second = rows(page).nth(1);
  assert.equal(await second.getAttribute("aria-selected"), "true");
  assert.equal(
    await page.getByRole("grid").getAttribute("aria-activedescendant"),
    await second.getAttribute("id"),
  );
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Before and after" }).waitFor();
  const first = param(page, "open");
  assert.ok(first);
  await page.keyboard.press("j");
  await page.waitForFunction((old) => new URL(location.href).searchParams.get("open") !== old, first);
  await page.keyboard.press("Escape");
  assert.equal(param(page, "open"), null);
  assert.equal(await page.getByRole("complementary").count(), 0);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("role")), "combobox");
  await page.keyboard.type("jk?");
  assert.equal(await page.getByRole("dialog").count(), 0, "keys typed into the query are text");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("dialog").count(), 0);
  await finish();
});

test("a click narrows, Alt-click leaves out, Back returns", async () => {
  const { page, finish } = await open("many", "/");
  const rules = page.getByRole("region", { name: "Rules" });
  await rules.getByText("Read sensitive file untrusted").click();
  await page.waitForFunction(() => new URL(location.href).searchParams.get("q")?.includes("rule:"));
  assert.equal(query(page), 'since:24h rule:"Read sensitive file untrusted"');
  await page.waitForFunction(() => document.querySelectorAll('section[aria-label="Rules"] li').length === 1);
  await page.goBack();
  assert.equal(query(page), "since:24h");
  await rules.getByText("Terminal shell in container").click({ modifiers: ["Alt"] });
  assert.equal(query(page), 'since:24h -rule:"Terminal shell in container"');
  await page.waitForFunction(
    () => !document.querySelector('section[aria-label="Rules"]')?.textContent?.includes("Terminal shell"),
  );
  // A number leads to the alerts that it counts.
  const count = page.getByRole("region", { name: "Hosts" }).getByRole("link", { name: /Show .* alerts of node3/ });
  const expected = Number((await count.getAttribute("aria-label")).replace(/[^\d]*([\d,]+) alerts.*/, "$1").replaceAll(",", ""));
  await count.click();
  await page.getByText("Live").waitFor();
  await page.waitForFunction(
    (n) => document.body.textContent.includes(`${n.toLocaleString("en")} alerts`),
    expected,
  );
  assert.ok(query(page).endsWith("host:node3"));
  await finish();
});

test("dragging over the chart zooms in, Back zooms out", async () => {
  const { page, finish } = await open("many", "/");
  const plot = page.locator(".u-over");
  await plot.waitFor();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 50, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => /since:\S+Z until:\S+Z/.test(new URL(location.href).searchParams.get("q") ?? ""));
  const [, since, until] = /since:(\S+) until:(\S+)/.exec(query(page));
  const hours = (Date.parse(until) - Date.parse(since)) / 3_600_000;
  assert.ok(hours > 2 && hours < 3, `${hours} hours of 24 were dragged over`);
  await page.goBack();
  assert.equal(query(page), "since:24h");
  await finish();
});

test("rules: found, opened, ordered, and from there to their alerts", async () => {
  const { page, finish } = await open("many", RULES);
  const names = () => page.locator("tbody .name").allInnerTexts();
  await page.getByRole("alert", { name: "The last load failed" }).getByText("LOAD_ERR_COMPILE_CONDITION").waitFor();
  const all = await names();
  await page.getByRole("searchbox", { name: "Search rules" }).fill("shell EXECUTION");
  assert.deepEqual((await names()).map((name) => name.trim().split("\n").at(-1)), ["Terminal shell in container"]);
  await page.getByRole("link", { name: "Terminal shell in container" }).click();
  const panel = page.getByRole("complementary", { name: "Rule" });
  await panel.getByText("and shell_procs").waitFor();
  assert.equal(param(page, "rule"), "Terminal shell in container");
  await page.getByRole("searchbox", { name: "Search rules" }).fill("");
  await page.getByRole("button", { name: "Alerts", exact: true }).click();
  assert.notDeepEqual(await names(), all);
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "detached" });
  await page.locator("tbody .alerts a").first().click();
  await rows(page).first().waitFor();
  assert.match(query(page), /^since:24h rule:/);
  await page.goBack();
  await page.getByText("can fire").waitFor();
  await finish();
});

test("rules that cannot fire: from the overview to what each lacks", async () => {
  const { page, finish } = await open("many", "/?q=since%3A24h");
  const link = page.getByRole("region", { name: "State of falconet" }).getByRole("link", { name: /cannot fire/ });
  const many = Number((await link.innerText()).match(/^\d+/)[0]);
  await link.click();
  await page.getByText("can fire").waitFor();
  assert.equal(param(page, "find"), "inactive");
  const names = await page.locator("tbody .name").allInnerTexts();
  assert.equal(names.length, many);
  for (const name of names) assert.match(name, /: it needs thread\.cgroups, which this sensor cannot fill/);
  assert.deepEqual(new Set(await page.locator("tbody .state").allInnerTexts()), new Set(["inactive"]));
  await page.goBack();
  await link.waitFor();
  await finish();
});

test("the query is completed and its errors are marked", async () => {
  const { page, finish } = await open("many", LIST);
  const input = page.getByRole("combobox", { name: "Query" });
  await input.fill("since:24h rule:Term");
  const option = page.getByRole("option", { name: /Terminal shell in container/ });
  await option.waitFor();
  await input.press("ArrowDown");
  assert.equal(await option.getAttribute("aria-selected"), "true");
  await input.press("Enter");
  await input.press("Enter");
  await page.waitForFunction(() => new URL(location.href).searchParams.get("q")?.includes("Terminal"));
  assert.equal(query(page), 'since:24h rule:"Terminal shell in container"');
  await input.fill("since:24h \u{1F600} prioritee:x");
  await page.locator("#query-error").waitFor();
  assert.equal(await page.locator("form u").textContent(), "prioritee");
  assert.equal(await input.getAttribute("aria-invalid"), "true");
  await finish();
});

test("new alerts are announced unless one looks at the top", async () => {
  const { page, finish } = await open("many", "/alerts?q=");
  const test = () => page.evaluate(() => fetch("/api/v1/test", { method: "POST" }));
  await page.getByText("Live", { exact: true }).waitFor();
  await test();
  await page.waitForFunction(() => document.querySelector("[role=row]")?.textContent?.includes("Test rule"));
  await page.locator(".rows").evaluate((list) => list.scrollTo(0, 4000));
  await settled(page);
  const top = await page.locator(".rows").evaluate((list) => list.scrollTop);
  await test();
  await test();
  await page.getByRole("button", { name: "2 new" }).waitFor();
  assert.equal(await page.locator(".rows").evaluate((list) => list.scrollTop), top, "the list stands still");
  await page.keyboard.press("n");
  await page.waitForFunction(() => document.querySelector(".rows").scrollTop === 0);
  await page.keyboard.press("p");
  await test();
  await page.getByRole("button", { name: "1 new" }).waitFor();
  await page.keyboard.press("p");
  await page.getByRole("button", { name: "1 new" }).waitFor({ state: "detached" });
  await finish();
});

test("a test alert is one click away when there is none", async () => {
  const { page, finish } = await open("none", "/");
  await page.getByText("42 rules look at 15 event types").waitFor();
  await page.getByRole("button", { name: "Make a test alert" }).click();
  await page.getByRole("complementary", { name: "Alert" }).getByText("This is a test alert of falconet", { exact: true }).waitFor();
  await finish();
});

test("the list goes back as far as the log", async () => {
  const { page, finish } = await open("many", "/alerts?q=");
  await rows(page).first().waitFor();
  await page.keyboard.press("p");
  for (let i = 0; i < 6; i += 1) {
    const before = await page.locator(".rows").evaluate((list) => list.scrollHeight);
    await page.locator(".rows").evaluate((list) => list.scrollTo(0, list.scrollHeight));
    await page.waitForFunction((old) => document.querySelector(".rows").scrollHeight > old, before);
  }
  const drawn = await rows(page).count();
  assert.ok(drawn < 80, `${drawn} rows are drawn, only those in view should be`);
  await finish();
});

test("500 alerts per second do not freeze it", async () => {
  const { page, finish } = await open("busy", LIST);
  await page.getByText("Live", { exact: true }).waitFor();
  const longest = await page.evaluate(
    () =>
      new Promise((done) => {
        let last = performance.now();
        let longest = 0;
        const end = last + 5000;
        const frame = (now) => {
          longest = Math.max(longest, now - last);
          last = now;
          if (now < end) requestAnimationFrame(frame);
          else done(longest);
        };
        requestAnimationFrame(frame);
      }),
  );
  assert.ok(longest < 500, `${Math.round(longest)} ms between two frames`);
  await page.locator(".rows").evaluate((list) => list.scrollTo(0, 1000));
  await page.getByRole("button", { name: /[\d,]+ new/ }).waitFor();
  const fresh = async () =>
    Number((await page.getByRole("button", { name: /new$/ }).textContent()).replace(/[^\d]/g, ""));
  const first = await fresh();
  // At 500 a second these come soon; a stream that has stopped never brings them.
  await page.waitForFunction(
    (wanted) => {
      const button = [...document.querySelectorAll("button")].find((b) => /[\d,]+ new$/.test(b.textContent.trim()));
      return Number(button?.textContent.replace(/[^\d]/g, "")) > wanted;
    },
    first + 500,
  );
  await finish();
});

test("on a phone an alert takes the screen and gives it back", async () => {
  const { page, finish } = await open("many", LIST, { size: PHONE });
  await rows(page).first().waitFor();
  await page.getByRole("button", { name: /Hold|Live/ }).click();
  await rows(page).nth(2).click();
  const panel = page.getByRole("complementary", { name: "Alert" });
  await panel.getByRole("heading", { name: "Who" }).waitFor();
  const box = await panel.boundingBox();
  assert.deepEqual([box.x, box.y, box.width, box.height], [0, 0, PHONE.width, PHONE.height]);
  await panel.getByRole("button", { name: "Close" }).click();
  await panel.waitFor({ state: "detached" });
  await finish();
});

test("theme and time zone are switched and kept", async () => {
  const { page, finish } = await open("few", "/", { theme: "light" });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await page.getByRole("region", { name: "Rules" }).waitFor();
  assert.equal(await theme(), "light");
  await page.getByRole("button", { name: "Dark theme" }).click();
  assert.equal(await theme(), "dark");
  await page.getByRole("button", { name: /UTC/ }).click();
  await page.reload();
  await page.getByRole("button", { name: /Local/ }).waitFor();
  assert.equal(await theme(), "dark");
  await finish();
});
