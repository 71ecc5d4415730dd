// One request whose answer is shown: a new one cancels the old, the old answer stays until the new one is there, and
// "loading" is true only after 200 ms, so that quick answers do not flicker.
import { ApiFailure } from "../api/client";

export class Load<T> {
  data: T | undefined = $state.raw();
  error: ApiFailure | undefined = $state.raw();
  slow = $state(false);
  private controller: AbortController | undefined;

  async run(request: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    const timer = setTimeout(() => (this.slow = true), 200);
    try {
      const data = await request(controller.signal);
      if (controller.signal.aborted) return undefined;
      this.data = data;
      this.error = undefined;
      return data;
    } catch (error) {
      if (controller.signal.aborted) return undefined;
      this.error = error instanceof ApiFailure ? error : new ApiFailure(0, String(error));
      return undefined;
    } finally {
      clearTimeout(timer);
      if (this.controller === controller) this.slow = false;
    }
  }

  cancel() {
    this.controller?.abort();
  }
}
