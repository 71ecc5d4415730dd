// The list of alerts of one query: pages of the past, and what comes live.
//
// New alerts enter the list by themselves only while one looks at its top; otherwise they are counted and announced.
// At most MAX are held: the tail is let go and read again when one scrolls to it.
import { api, ApiFailure, type Batch, type Summary } from "../api/client";
import { Live } from "./live.svelte";

const PAGE = 200;
const MAX = 3000;
/** Alerts that wait to be shown are kept up to here; beyond, the list is read anew. */
const MAX_WAITING = 400;

export class Feed {
  alerts: Summary[] = $state.raw([]);
  /** New alerts that are not in the list yet. */
  waiting = $state(0);
  paused = $state(false);
  loaded = $state(false);
  slow = $state(false);
  error: ApiFailure | undefined = $state.raw();
  live: Live | undefined = $state.raw();
  /** Grows with each alert that came live: others follow it to read their numbers again. */
  arrivals = $state(0);
  /** True while the top of the list is in view. */
  atTop = true;
  private next: number | null = null;
  private pending: Summary[] = [];
  private reading = false;
  private stopped = false;

  constructor(readonly query: string) {
    void this.start();
  }

  get more(): boolean {
    return this.next !== null;
  }

  private async start() {
    const timer = setTimeout(() => (this.slow = true), 200);
    const head = await this.read();
    clearTimeout(timer);
    this.slow = false;
    if (this.stopped || head === undefined) return;
    this.live = new Live(this.query, head, (batch) => this.take(batch));
  }

  /** Reads the newest page; returns the position up to which it tells. */
  private async read(): Promise<number | undefined> {
    this.reading = true;
    try {
      const page = await api.alerts(this.query, undefined, PAGE);
      if (this.stopped) return undefined;
      this.alerts = page.alerts;
      this.next = page.next ?? null;
      this.pending = [];
      this.waiting = 0;
      this.error = undefined;
      return page.head;
    } catch (error) {
      this.error = error instanceof ApiFailure ? error : new ApiFailure(0, String(error));
      return undefined;
    } finally {
      this.loaded = true;
      this.reading = false;
    }
  }

  private take(batch: Batch) {
    this.arrivals += batch.count;
    const known = new Set(this.alerts.slice(0, PAGE).map((a) => a.seq));
    const fresh = batch.alerts.filter((a) => !known.has(a.seq)).reverse();
    const gap = batch.count > batch.alerts.length;
    const unseen = gap ? batch.count : fresh.length;
    if (unseen === 0) return;
    this.waiting += unseen;
    if (gap || this.pending.length + fresh.length > MAX_WAITING) this.pending = [];
    else if (this.pending.length === this.waiting - unseen) this.pending = [...fresh, ...this.pending];
    if (this.atTop && !this.paused) this.show();
  }

  /** Puts what waits into the list. */
  show() {
    if (this.waiting === 0 || this.reading) return;
    if (this.pending.length === this.waiting) {
      this.alerts = [...this.pending, ...this.alerts];
      this.trim();
      this.pending = [];
      this.waiting = 0;
    } else {
      void this.read(); // More came than was kept: the newest page is what there is to see.
    }
  }

  private trim() {
    if (this.alerts.length <= MAX) return;
    this.alerts = this.alerts.slice(0, MAX);
    this.next = this.alerts.at(-1)?.seq ?? null;
  }

  /** Reads the next page of the past. */
  async older() {
    if (this.reading || this.next === null) return;
    this.reading = true;
    try {
      const page = await api.alerts(this.query, this.next, PAGE);
      this.alerts = [...this.alerts, ...page.alerts];
      this.next = page.next ?? null;
    } catch (error) {
      this.error = error instanceof ApiFailure ? error : undefined;
    } finally {
      this.reading = false;
    }
  }

  pause(paused: boolean) {
    this.paused = paused;
    if (!paused && this.atTop) this.show();
  }

  stop() {
    this.stopped = true;
    this.live?.stop();
  }
}
