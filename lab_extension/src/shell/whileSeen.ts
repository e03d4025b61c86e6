/** Calls one of two functions as something is looked at or not: a panel is shown, and the page is in front. */
export class WhileSeen {
  private shown = false;
  private seen = false;
  private readonly turned = () => this.judge();

  constructor(
    private readonly look: () => void,
    private readonly leave: () => void
  ) {
    document.addEventListener('visibilitychange', this.turned);
  }

  show(shown: boolean): void {
    this.shown = shown;
    this.judge();
  }

  dispose(): void {
    document.removeEventListener('visibilitychange', this.turned);
    this.show(false);
  }

  private judge(): void {
    const seen = this.shown && !document.hidden;
    if (seen !== this.seen) {
      this.seen = seen;
      (seen ? this.look : this.leave)();
    }
  }
}
