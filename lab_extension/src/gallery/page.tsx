import { ReactWidget } from '@jupyterlab/apputils';
import type { Gallery } from '../core/gallery';
import type { IEarthlab } from '../tokens';
import { GalleryView } from './view';

export interface GalleryParts {
  readonly shared: IEarthlab;
  readonly gallery: Gallery;
  /** Where a notebook's picture is. */
  readonly pictureOf: (id: string) => string;
  /** Have a copy made and opened. */
  readonly open: (id: string) => void;
}

/** The gallery of notebooks in the main area. */
export class GalleryPage extends ReactWidget {
  constructor(private readonly parts: GalleryParts) {
    super();
    this.addClass('el-Panel');
    this.addClass('el-Gallery');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', `EarthLab · ${parts.shared.say('gallery')}`);
    void parts.gallery.read();
  }

  protected override render(): JSX.Element {
    return <GalleryView {...this.parts} />;
  }
}
