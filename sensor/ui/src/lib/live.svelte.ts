// Alerts as they come: one stream of server-sent events for the query that is looked at.
//
// The stream is closed while the page is hidden (browsers allow few connections per server) and goes on where it
// stopped. `EventSource` reconnects by itself; when the server refuses for good, this tries again, ever more rarely.
import type { Batch } from "../api/client";

export class Live {
  connected = $state(false);
  private source: EventSource | null = null;
  private position: string | null = null;
  private retry = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly onvisibility = () => (document.hidden ? this.close() : this.open());

  constructor(
    private readonly query: string,
    after: number,
    private readonly take: (batch: Batch) => void,
  ) {
    this.position = String(after);
    document.addEventListener("visibilitychange", this.onvisibility);
    if (!document.hidden) this.open();
  }

  private open() {
    if (this.source) return;
    const params = new URLSearchParams({ query: this.query });
    if (this.position !== null) params.set("after", this.position);
    const source = new EventSource(`/api/v1/live?${params}`);
    this.source = source;
    source.addEventListener("open", () => {
      this.connected = true;
      this.retry = 0;
    });
    source.addEventListener("alerts", (event) => {
      this.position = event.lastEventId;
      this.take(JSON.parse(event.data) as Batch);
    });
    source.addEventListener("error", () => {
      this.connected = false;
      if (source.readyState !== EventSource.CLOSED) return;
      this.source = null;
      this.retry = Math.min(this.retry + 1, 6);
      this.timer = setTimeout(() => this.open(), 1000 * 2 ** this.retry);
    });
  }

  private close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.connected = false;
  }

  stop() {
    document.removeEventListener("visibilitychange", this.onvisibility);
    this.close();
  }
}
