// Short words to the user: shown at the edge of the page and read out by screen readers.

class Voice {
  text = $state("");
  shown = $state(false);
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Shows and reads `text`. */
  say(text: string) {
    this.text = text;
    this.shown = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.shown = false), 3500);
  }
}

export const voice = new Voice();

export async function copy(text: string, what: string) {
  try {
    await navigator.clipboard.writeText(text);
    voice.say(`${what} copied`);
  } catch {
    voice.say(`The browser did not let ${what.toLowerCase()} be copied`);
  }
}
