import type { Api, Cell, Language } from './api';
import type { Corner, Ring } from './footprints';
import { bandOf, timeOf, type Layer, type Look, type Offer } from './layers';
import type { Box } from './question';
import { Refusal } from './refusal';

/** A cube or array of a kernel, as `GET layers` tells it. */
interface LiveLayer {
  readonly kernel: string;
  readonly name: string;
  readonly bands: readonly { readonly name: string; readonly unit: string; readonly style: Look }[];
  readonly times: readonly string[];
  readonly bounds: Box | null;
  readonly zoom: number;
  readonly simulated: boolean;
  readonly version: string;
}

/** A shared cube, as `GET published/<token>` tells it. */
type PublishedCube = Omit<LiveLayer, 'kernel' | 'name' | 'version'> & {
  readonly token: string;
  readonly title: string;
};

/** A value for each moment at a place; null where nothing was observed. */
export interface Series {
  readonly times: readonly string[];
  readonly values: readonly (number | null)[];
  readonly unit: string;
}

/** What an area holds at each moment. */
export interface Statistics {
  readonly unit: string;
  readonly area: number;
  readonly rows: readonly StatisticsRow[];
}

export interface StatisticsRow {
  readonly time: string | null;
  readonly mean: number | null;
  readonly median: number | null;
  readonly std: number | null;
  readonly min: number | null;
  readonly max: number | null;
  readonly count: number;
  readonly valid: number;
}

/** The ends of a colour scale. */
export interface Stretch {
  readonly low: number;
  readonly high: number;
}

/** A link that was given away. */
export interface Link {
  readonly id: string;
  readonly title: string;
  readonly expires: string;
}

/** A link that was just made: its address is shown this once. */
export interface Made extends Link {
  readonly url_xyz: string;
  readonly url_wmts: string;
  /** How it comes into QGIS, one step after the other. */
  readonly steps: Readonly<Record<Language, readonly string[]>>;
}

/** The routes of `earthlab_lab` that the map asks. Each rejects with a `Refusal`. */
export class Routes {
  constructor(private readonly api: Api) {}

  /** The layers of the kernels that run, and the ids of those that did not answer. */
  async live(): Promise<{ readonly offers: readonly Offer[]; readonly silent: readonly string[] }> {
    const { layers, silent } = await this.api.get<{ layers: readonly LiveLayer[]; silent: readonly string[] }>(
      'layers'
    );
    return { offers: layers.map(offerOf), silent };
  }

  /** The values that are drawn at the two ends of a layer's colours where none are chosen; a shared cube has told them. */
  async stretch(layer: Layer): Promise<Stretch> {
    const { source } = layer.offer;
    const { low, high } = bandOf(layer)?.look ?? { low: null, high: null };
    if (low !== null && high !== null) {
      return { low, high };
    }
    if (source.kind !== 'live') {
      throw new Refusal('NothingFound', layer.offer.title, '');
    }
    const time = timeOf(layer);
    const asked = new URLSearchParams({ band: layer.band, ...(time === undefined ? {} : { time }) });
    const { kernel, variable } = source;
    return this.api.get(`stretch/live/${encodeURIComponent(kernel)}/${encodeURIComponent(variable)}?${asked}`);
  }

  /** A shared cube. */
  async published(token: string): Promise<Offer> {
    return offerOfCube(await this.api.get<PublishedCube>(`published/${encodeURIComponent(token)}`));
  }

  series(layer: Layer, place: Corner, signal?: AbortSignal): Promise<Series> {
    const [lon, lat] = place;
    return this.api.post(`${base(layer)}series`, { ...words(layer), lon, lat }, signal);
  }

  statistics(layer: Layer, ring: Ring, signal?: AbortSignal): Promise<Statistics> {
    return this.api.post(`${base(layer)}statistics`, { ...words(layer), geometry: polygon(ring) }, signal);
  }

  statisticsCell(layer: Layer, ring: Ring): Promise<Cell> {
    return this.api.post(`${base(layer)}statistics-cell`, { ...words(layer), geometry: polygon(ring) });
  }

  links(): Promise<readonly Link[]> {
    return this.api.get<{ links: readonly Link[] }>('links').then(({ links }) => links);
  }

  /** Make a link, whose address begins with the origin of this page. */
  link(layer: Layer, days: number, origin: string): Promise<Made> {
    const { source } = layer.offer;
    const token = source.kind === 'published' ? source.token : '';
    return this.api.post('links', {
      token,
      band: layer.band,
      time: timeOf(layer) ?? '',
      style: layer.look,
      days,
      origin
    });
  }

  revoke(id: string): Promise<void> {
    return this.api.delete(`links/${encodeURIComponent(id)}`);
  }

  /** The picture of a tile. */
  tile(path: string, signal: AbortSignal): Promise<Blob> {
    return this.api.blob(path, signal);
  }
}

function offerOf(layer: LiveLayer): Offer {
  return {
    key: `live/${layer.kernel}/${layer.name}`,
    source: { kind: 'live', kernel: layer.kernel, variable: layer.name },
    title: layer.name,
    version: layer.version,
    ...held(layer)
  };
}

function offerOfCube(cube: PublishedCube): Offer {
  return {
    key: `published/${cube.token}`,
    source: { kind: 'published', token: cube.token },
    title: cube.title,
    version: '',
    ...held(cube)
  };
}

function held(
  cube: Omit<LiveLayer, 'kernel' | 'name' | 'version'>
): Pick<Offer, 'bands' | 'times' | 'box' | 'zoom' | 'simulated'> {
  const { bands, times, bounds, zoom, simulated } = cube;
  return {
    bands: bands.map(({ name, unit, style }) => ({ name, unit, look: style })),
    times,
    box: bounds,
    zoom,
    simulated
  };
}

function base(layer: Layer): string {
  const { source } = layer.offer;
  return source.kind === 'published' ? `published/${encodeURIComponent(source.token)}/` : '';
}

/** Which layer, and what of it. */
function words(layer: Layer): Record<string, unknown> {
  const { source } = layer.offer;
  const live = source.kind === 'live' ? { kernel: source.kernel, variable: source.variable } : {};
  return { ...live, band: layer.band };
}

function polygon(ring: Ring): unknown {
  return { type: 'Polygon', coordinates: [ring] };
}
