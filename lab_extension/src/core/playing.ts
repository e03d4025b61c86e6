import { Changing } from './changing';

/** Milliseconds that a moment is shown at least. */
export const PACE = 500;

/** The same where people ask for less motion. */
export const CALM_PACE = 2000;

/** Goes from moment to moment: to the next one when this one has been drawn, and was shown for a while. */
export class Player {
  readonly playing = new Changing(false);
  private run = 0;

  /**
   * @param step to the next moment; false where there is none.
   * @param drawn is settled when all of the moment is drawn.
   */
  constructor(
    private readonly step: () => boolean,
    private readonly drawn: () => Promise<void>,
    private readonly pace: () => number = () => PACE
  ) {}

  play(): void {
    if (!this.playing.get()) {
      this.playing.set(true);
      void this.go(++this.run);
    }
  }

  pause(): void {
    this.run++;
    this.playing.set(false);
  }

  toggle(): void {
    if (this.playing.get()) {
      this.pause();
    } else {
      this.play();
    }
  }

  private async go(run: number): Promise<void> {
    while (run === this.run) {
      if (!this.step()) {
        this.pause();
        return;
      }
      await Promise.all([this.drawn(), new Promise(resolve => setTimeout(resolve, this.pace()))]);
    }
  }
}
