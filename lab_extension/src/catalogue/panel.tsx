import { ReactWidget } from '@jupyterlab/apputils';
import { searchIcon } from '@jupyterlab/ui-components';
import type { Planning } from '../core/planning';
import type { Searching } from '../core/searching';
import type { IEarthlab, ILabMap } from '../tokens';
import type { SavedSearches } from './saved';
import type { CellWriter } from './writing';
import { CatalogueView } from './view';

export interface Parts {
  readonly shared: IEarthlab;
  readonly searching: Searching;
  readonly planning: Planning;
  readonly map: ILabMap | null;
  readonly writer: CellWriter;
  readonly saved: SavedSearches;
}

/** The catalogue at the left of JupyterLab. */
export class CataloguePanel extends ReactWidget {
  constructor(private readonly parts: Parts) {
    super();
    this.id = 'earthlab-catalogue';
    this.title.icon = searchIcon;
    this.title.caption = `EarthLab · ${parts.shared.say('catalogue')}`;
    this.addClass('el-Panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', `EarthLab · ${parts.shared.say('catalogue')}`);
  }

  protected override render(): JSX.Element {
    return <CatalogueView {...this.parts} />;
  }

  override dispose(): void {
    this.parts.searching.stop();
    super.dispose();
  }
}
