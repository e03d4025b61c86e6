import { ReactWidget } from '@jupyterlab/apputils';
import { usersIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { Workshop } from '../core/workshop';
import { WhileSeen } from '../shell/whileSeen';
import type { IEarthlab } from '../tokens';
import { WorkshopView } from './view';

export interface WorkshopParts {
  readonly shared: IEarthlab;
  readonly workshop: Workshop;
  /** Open a notebook of the home. */
  readonly open: (path: string) => void;
  /** Write a cell below the active one. */
  readonly insert: (source: string) => void;
}

/** The workshop at the right of JupyterLab. */
export class WorkshopPanel extends ReactWidget {
  private readonly page: WhileSeen;
  private readonly panel: WhileSeen;

  constructor(private readonly parts: WorkshopParts) {
    super();
    const { workshop, shared } = parts;
    this.page = new WhileSeen(
      () => workshop.follow(false),
      () => workshop.leave()
    );
    this.panel = new WhileSeen(
      () => workshop.follow(true),
      () => !document.hidden && workshop.follow(false)
    );
    this.id = 'earthlab-workshop';
    this.title.icon = usersIcon;
    this.title.caption = `EarthLab · ${shared.say('workshop')}`;
    this.addClass('el-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', `EarthLab · ${shared.say('workshop')}`);
  }

  /** From now on read what there is, also while only the page is seen. */
  follow(): void {
    this.page.show(true);
  }

  protected override render(): JSX.Element {
    return <WorkshopView {...this.parts} />;
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.panel.show(true);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.panel.show(false);
  }

  override dispose(): void {
    this.panel.dispose();
    this.page.dispose();
    super.dispose();
  }
}
