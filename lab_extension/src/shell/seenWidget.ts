import { ReactWidget } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';
import { WhileSeen } from './whileSeen';

/** A widget that reads what it shows only while it is seen. */
export abstract class SeenWidget extends ReactWidget {
  private readonly seen: WhileSeen;

  constructor(look: () => void, leave: () => void) {
    super();
    this.seen = new WhileSeen(look, leave);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.seen.show(true);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.seen.show(false);
  }

  override dispose(): void {
    this.seen.dispose();
    super.dispose();
  }
}
