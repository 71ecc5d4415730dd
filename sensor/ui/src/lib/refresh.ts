// Reads numbers again when alerts came: at most every three seconds, and never while the last reading still goes on, so
// that a slow answer is waited for and not asked for again and again.

const PACE = 3000;

export class Refresh {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running = false;
  private again = false;
  private stopped = false;

  constructor(private readonly read: () => Promise<unknown>) {
    void this.run();
  }

  /** Something changed. */
  soon() {
    if (this.running) this.again = true;
    else this.timer ??= setTimeout(() => void this.run(), PACE);
  }

  private async run() {
    this.timer = undefined;
    if (this.stopped) return;
    this.running = true;
    await this.read().catch(() => {}); // Whoever reads shows what went wrong.
    this.running = false;
    if (this.again && !this.stopped) {
      this.again = false;
      this.soon();
    }
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }
}
