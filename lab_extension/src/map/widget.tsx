import { ReactWidget } from '@jupyterlab/apputils';
import { LabIcon } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';
import type { IEarthlab } from '../tokens';
import type { Inserter } from './inserting';
import type { Keeper } from './keeping';
import type { MapModel } from './model';
import { MapView } from './view';

export interface MapParts {
  readonly shared: IEarthlab;
  readonly model: MapModel;
  readonly inserter: Inserter;
  readonly keeper?: Keeper;
}

export const mapIcon = new LabIcon({
  name: 'earthlab:map',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><path class="jp-icon3" fill="#616161" ' +
    'd="M20.5 3l-.2 0L15 5.100 9 3 3.400 4.900c-.2.1-.4.3-.4.5V20.500c0 .3.2.5.5.5l.2 0L9 18.900l6 2.100 ' +
    '5.600-1.900c.2-.1.4-.3.4-.5V3.500c0-.3-.2-.5-.5-.5zM15 19l-6-2.100V5l6 2.100V19z"/></svg>'
});

/** The map in the middle of JupyterLab. */
export class MapWidget extends ReactWidget {
  constructor(private readonly parts: MapParts) {
    super();
    const { say } = parts.shared;
    this.id = 'earthlab-map';
    this.title.icon = mapIcon;
    this.title.label = say('map');
    this.title.caption = `EarthLab · ${say('map')}`;
    this.title.closable = true;
    this.addClass('el-Panel');
    this.addClass('el-MapPanel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', `EarthLab · ${say('map')}`);
  }

  protected override render(): JSX.Element {
    return <MapView {...this.parts} />;
  }

  protected override onResize(message: Widget.ResizeMessage): void {
    super.onResize(message);
    this.parts.model.canvas.get()?.resize();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.parts.model.canvas.get()?.resize();
    void this.parts.model.offering.refreshLive();
  }

  protected override onAfterHide(message: Message): void {
    this.parts.model.player.pause();
    super.onAfterHide(message);
  }

  /** What is closed is begun anew; its layers are the model's, and stay. */
  protected override onCloseRequest(message: Message): void {
    super.onCloseRequest(message);
    this.dispose();
  }

  override dispose(): void {
    this.parts.model.rest();
    super.dispose();
  }
}
