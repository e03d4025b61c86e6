import type ImageTile from 'ol/ImageTile';
import TileLayer from 'ol/layer/Tile';
import TileWMS from 'ol/source/TileWMS';
import type TileSource from 'ol/source/Tile';
import XYZ from 'ol/source/XYZ';
import type Tile from 'ol/Tile';
import TileState from 'ol/TileState';
import { tilePath, type Layer, type Outside } from '../core/layers';
import { asRefusal, Refusal } from '../core/refusal';

/** Who brings the pictures of tiles, and is told which could not be brought. */
export interface Loading {
  /** A picture below the routes of `earthlab_lab`. Rejects with a `Refusal`. */
  load(path: string, signal: AbortSignal): Promise<Blob>;
  refused(key: string, refusal: Refusal): void;
  /** A layer that was refused is seen again. */
  seenAgain(key: string): void;
  /** What is said where a layer of others does not come. */
  silent(title: string): Refusal;
}

/** A layer as it is drawn, tile by tile. */
export class Drawn {
  readonly tiles = new TileLayer<TileSource>();
  private asking = new AbortController();
  private key = '';
  private refusedAt?: number;

  constructor(
    private layer: Layer,
    private readonly loading: Loading,
    private readonly calm: boolean
  ) {}

  /** Show it as it should be now; what was asked for before is let go where it is no more wanted. */
  update(layer: Layer, key: string): void {
    this.layer = layer;
    if (key === this.key) {
      return;
    }
    const first = this.key === '';
    this.key = key;
    this.asking.abort();
    this.asking = new AbortController();
    this.refusedAt = undefined;
    const { source } = layer.offer;
    if (source.kind === 'outside') {
      this.showOutside(source);
    } else if (first) {
      this.tiles.setSource(this.makeOwn(key));
    } else {
      (this.tiles.getSource() as XYZ).setTileUrlFunction(this.pathsOf(layer), key);
    }
  }

  leave(): void {
    this.asking.abort();
    this.tiles.setSource(null);
    this.tiles.dispose();
  }

  private makeOwn(key: string): XYZ {
    const { zoom } = this.layer.offer;
    const source = new XYZ({
      maxZoom: zoom === null ? 24 : Math.min(24, zoom + 1),
      interpolate: false,
      transition: this.calm ? 0 : 150,
      tileLoadFunction: (tile, path) => this.load(tile as ImageTile, path)
    });
    source.setTileUrlFunction(this.pathsOf(this.layer), key);
    return source;
  }

  private pathsOf(layer: Layer): (at: number[]) => string | undefined {
    return ([z, x, y]) => tilePath(layer, z, x, y);
  }

  private load(tile: ImageTile, path: string): void {
    const { signal } = this.asking;
    const zoom = tile.getTileCoord()[0];
    this.loading.load(path, signal).then(
      picture => {
        draw(tile, picture);
        if (this.refusedAt !== undefined && this.refusedAt !== zoom) {
          this.refusedAt = undefined;
          this.loading.seenAgain(this.layer.key);
        }
      },
      reason => {
        tile.setState(TileState.ERROR);
        if (!signal.aborted) {
          this.refusedAt = zoom;
          this.loading.refused(this.layer.key, asRefusal(reason));
        }
      }
    );
  }

  private showOutside(outside: Outside): void {
    makeOutside(outside, this.asking.signal).then(
      source => {
        source.on('tileloaderror' as never, () => this.silent());
        this.tiles.setSource(source);
      },
      () => this.silent()
    );
  }

  private silent(): void {
    if (!this.asking.signal.aborted) {
      this.loading.refused(this.layer.key, this.loading.silent(this.layer.offer.title));
    }
  }
}

/** Where others serve a layer: it is asked without saying who asks, or from where. */
async function makeOutside(outside: Outside, signal: AbortSignal): Promise<TileSource> {
  const tileLoadFunction = (tile: Tile, url: string) => {
    const image = (tile as ImageTile).getImage() as HTMLImageElement;
    image.referrerPolicy = 'no-referrer';
    image.src = url;
  };
  if (outside.service === 'xyz') {
    return new XYZ({ url: outside.url, tileLoadFunction });
  }
  if (outside.service === 'wms') {
    return new TileWMS({ url: outside.url, params: { LAYERS: outside.layer }, tileLoadFunction });
  }
  const [{ default: WMTSCapabilities }, { default: WMTS, optionsFromCapabilities }] = await Promise.all([
    import('ol/format/WMTSCapabilities'),
    import('ol/source/WMTS')
  ]);
  const answer = await fetch(outside.url, { signal, credentials: 'omit', referrerPolicy: 'no-referrer' });
  const said = optionsFromCapabilities(new WMTSCapabilities().read(await answer.text()), { layer: outside.layer });
  if (said === null) {
    throw new Refusal('NothingFound', outside.layer, '');
  }
  return new WMTS({ ...said, tileLoadFunction });
}

function draw(tile: ImageTile, picture: Blob): void {
  const image = tile.getImage() as HTMLImageElement;
  const url = URL.createObjectURL(picture);
  const forget = () => URL.revokeObjectURL(url);
  image.addEventListener('load', forget, { once: true });
  image.addEventListener('error', forget, { once: true });
  image.src = url;
}
