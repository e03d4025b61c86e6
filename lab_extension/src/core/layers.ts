import { Changing } from './changing';
import type { Box } from './question';
import type { Refusal } from './refusal';

/** Where the pixels of a layer come from. */
export type Source =
  | { readonly kind: 'live'; readonly kernel: string; readonly variable: string }
  | { readonly kind: 'published'; readonly token: string }
  | Outside;

/** A layer that somebody else serves, and an administrator or the user has named in the settings. */
export interface Outside {
  readonly kind: 'outside';
  readonly service: 'xyz' | 'wmts' | 'wms';
  readonly url: string;
  readonly layer: string;
  readonly attribution: string;
}

/** Which value is drawn in which colour; an end that is null is the server's own choice: the 2nd or 98th percentile. */
export interface Look {
  readonly colormap: string;
  readonly low: number | null;
  readonly high: number | null;
}

export interface Band {
  readonly name: string;
  readonly unit: string;
  readonly look: Look;
}

/** A layer that there is to show. */
export interface Offer {
  readonly key: string;
  readonly source: Source;
  readonly title: string;
  readonly bands: readonly Band[];
  readonly times: readonly string[];
  readonly box: Box | null;
  /** The zoom of the web's tiles whose pixels are about as large as the layer's own; null where nobody says. */
  readonly zoom: number | null;
  readonly simulated: boolean;
  /** Changes when what it shows does. */
  readonly version: string;
}

/** A layer that is shown. */
export interface Layer {
  readonly key: string;
  readonly offer: Offer;
  readonly band: string;
  /** Which of the times. */
  readonly at: number;
  readonly look: Look;
  readonly opacity: number;
  readonly visible: boolean;
  /** Its variable or cube is no more there. */
  readonly gone: boolean;
  /** It is drawn when the ends of its colours are known, which are still asked for. */
  readonly waits: boolean;
  /** Counts how often it was asked to be drawn anew. */
  readonly again: number;
  readonly refusal?: Refusal;
}

/** Two layers, one at each side of a line at a share of the map's width. */
export interface Swipe {
  readonly left: string;
  readonly right: string;
  readonly share: number;
}

/** What the map shows: the layers from the top to the bottom. */
export interface Stack {
  readonly layers: readonly Layer[];
  /** The layer whose times are stepped through, and that is read at a place. */
  readonly chosen?: string;
  readonly swipe?: Swipe;
}

export type Change = Partial<Pick<Layer, 'band' | 'at' | 'look' | 'opacity' | 'visible' | 'refusal'>>;

/** What is shown on the map, and how. Every step gives a new `Stack`. */
export class Layers {
  readonly stack = new Changing<Stack>({ layers: [] });
  private made = 0;

  /** Show a layer on top of all others, by default one that others serve below them; gives its key. */
  add(
    offer: Offer,
    like: Partial<Layer> = {},
    where: 'above' | 'below' = offer.source.kind === 'outside' ? 'below' : 'above'
  ): string {
    const key = `${offer.key}#${++this.made}`;
    const band = offer.bands[0];
    const layer: Layer = {
      band: band?.name ?? '',
      at: Math.max(0, offer.times.length - 1),
      look: band?.look ?? NO_LOOK,
      opacity: 1,
      visible: true,
      gone: false,
      again: 0,
      waits: false,
      ...like,
      key,
      offer
    };
    const { layers, chosen, ...rest } = this.stack.get();
    const below = where === 'below';
    this.stack.set({
      ...rest,
      layers: below ? [...layers, layer] : [waiting(layer), ...layers],
      chosen: below ? (chosen ?? key) : key
    });
    return key;
  }

  remove(key: string): void {
    const { layers, chosen, swipe } = this.stack.get();
    const left = layers.filter(each => each.key !== key);
    this.stack.set({
      layers: left,
      chosen: chosen === key ? left[0]?.key : chosen,
      swipe: swipe && [swipe.left, swipe.right].includes(key) ? undefined : swipe
    });
  }

  /** One up, or one down. */
  move(key: string, way: -1 | 1): void {
    const stack = this.stack.get();
    const from = stack.layers.findIndex(each => each.key === key);
    const to = from + way;
    if (from >= 0 && to >= 0 && to < stack.layers.length) {
      const layers = [...stack.layers];
      [layers[from], layers[to]] = [layers[to], layers[from]];
      this.stack.set({ ...stack, layers });
    }
  }

  /** Show it otherwise; with another band, in that band's look. */
  change(key: string, words: Change): void {
    this.each(layer => (layer.key === key ? changed(layer, words) : layer));
  }

  choose(key: string): void {
    this.stack.set({ ...this.stack.get(), chosen: key });
  }

  /** One moment on, from the last to the first. */
  step(key: string, by = 1): void {
    this.each(layer => {
      const count = layer.offer.times.length;
      return layer.key === key && count > 0
        ? changed(layer, { at: (((layer.at + by) % count) + count) % count })
        : layer;
    });
  }

  /** Compare two layers, which are shown for it. */
  compare(left: string, right: string): void {
    this.each(layer => ([left, right].includes(layer.key) ? changed(layer, { visible: true }) : layer));
    this.stack.set({ ...this.stack.get(), swipe: { left, right, share: 0.5 } });
  }

  /** Compare a layer with itself at its first moment, or at its last where it shows the first. */
  compareTimes(key: string): void {
    const layer = this.find(key);
    if (layer !== undefined && layer.offer.times.length > 1) {
      const at = layer.at === 0 ? layer.offer.times.length - 1 : 0;
      const other = this.add(layer.offer, { ...layer, at });
      this.choose(key);
      this.compare(at < layer.at ? other : key, at < layer.at ? key : other);
    }
  }

  slide(share: number): void {
    const stack = this.stack.get();
    if (stack.swipe !== undefined) {
      this.stack.set({ ...stack, swipe: { ...stack.swipe, share: Math.max(0, Math.min(1, share)) } });
    }
  }

  endSwipe(): void {
    this.stack.set({ ...this.stack.get(), swipe: undefined });
  }

  /** The ends of a layer's colours are known now; or, without `ends`, stay unknown and are left to the server. */
  settle(asked: Layer, ends?: { readonly low: number; readonly high: number }): void {
    this.each(layer => {
      const same = layer.key === asked.key && layer.band === asked.band && layer.look === asked.look;
      const { colormap, low, high } = layer.look;
      const look = ends ? { colormap, low: low ?? ends.low, high: high ?? ends.high } : layer.look;
      return same ? { ...layer, look, waits: false } : layer;
    });
  }

  /** Say why a layer is not seen. */
  refuse(key: string, refusal: Refusal): void {
    if (this.find(key)?.refusal?.message !== refusal.message) {
      this.each(layer => (layer.key === key ? { ...layer, refusal } : layer));
    }
  }

  /**
   * Take note of what layers of a kind there are now: what is shown keeps its look, and what is no more there says so.
   *
   * @param again draws all of them anew, whether they say that they changed or not.
   */
  meet(kind: Source['kind'], offers: readonly Offer[], again = false): void {
    const known = new Map(offers.map(offer => [offer.key, offer]));
    this.each(layer => {
      if (layer.offer.source.kind !== kind) {
        return layer;
      }
      const offer = known.get(layer.offer.key);
      return offer === undefined ? gone(layer) : met(layer, offer, again);
    });
  }

  find(key: string | undefined): Layer | undefined {
    return this.stack.get().layers.find(each => each.key === key);
  }

  private each(step: (layer: Layer) => Layer): void {
    const stack = this.stack.get();
    const layers = stack.layers.map(step);
    if (layers.some((layer, at) => layer !== stack.layers[at])) {
      this.stack.set({ ...stack, layers });
    }
  }
}

const NO_LOOK: Look = { colormap: 'viridis', low: null, high: null };

/** The band that a layer shows; none for a layer that others serve. */
export function bandOf(layer: Layer): Band | undefined {
  return layer.offer.bands.find(each => each.name === layer.band);
}

/** The two ends of a colour scale as they were typed, an empty one left to the server; undefined where they are none. */
export function parseEnds(low: string, high: string): Pick<Look, 'low' | 'high'> | undefined {
  const [from, to] = [low, high].map(text => (text.trim() === '' ? null : Number(text.trim().replace(',', '.'))));
  const sound = [from, to].every(end => end === null || Number.isFinite(end));
  return sound && (from === null || to === null || from < to) ? { low: from, high: to } : undefined;
}

/** Whether a band is red, green and blue together: it has colours, but not one value a pixel. */
export function isNatural(band: Band): boolean {
  return band.name.includes(',');
}

/** The moment that a layer shows. */
export function timeOf(layer: Layer): string | undefined {
  return layer.offer.times[layer.at];
}

/** The path of a tile below the routes of `earthlab_lab`; undefined for a layer that others serve. */
export function tilePath(layer: Layer, z: number, x: number, y: number): string | undefined {
  const { source } = layer.offer;
  if (source.kind === 'outside') {
    return undefined;
  }
  const place =
    source.kind === 'live'
      ? `tiles/live/${encodeURIComponent(source.kernel)}/${encodeURIComponent(source.variable)}/${z}/${x}/${y}`
      : `published/${encodeURIComponent(source.token)}/tiles/${z}/${x}/${y}`;
  const { version } = layer.offer;
  // Whoever asks anew does not want what the browser has kept under the same version.
  const kept = source.kind === 'live' && layer.again === 0 && version !== '';
  return `${place}?${new URLSearchParams(kept ? { ...wordsOf(layer), version } : wordsOf(layer))}`;
}

/** What tells the tiles of a layer from those of the same layer shown otherwise. */
export function tileKey(layer: Layer): string {
  return `${layer.offer.key}/${layer.offer.version}/${layer.again}?${new URLSearchParams(wordsOf(layer))}`;
}

function wordsOf(layer: Layer): Record<string, string> {
  const { colormap, low, high } = layer.look;
  const time = timeOf(layer);
  return {
    ...(layer.band === '' ? {} : { band: layer.band }),
    ...(time === undefined ? {} : { time }),
    ...(low === null ? {} : { low: String(low) }),
    ...(high === null ? {} : { high: String(high) }),
    colormap
  };
}

function changed(layer: Layer, words: Change): Layer {
  const band = words.band === undefined ? undefined : layer.offer.bands.find(each => each.name === words.band);
  const asked = 'band' in words || 'at' in words || 'look' in words;
  const next = { ...layer, ...(asked ? { refusal: undefined } : {}), ...(band ? { look: band.look } : {}), ...words };
  return next.look === layer.look ? next : waiting(next);
}

/** It waits for the ends of its colours, where they are not said. */
function waiting(layer: Layer): Layer {
  const open = layer.look.low === null || layer.look.high === null;
  return { ...layer, waits: open && bandOf(layer) !== undefined };
}

function gone(layer: Layer): Layer {
  return layer.gone ? layer : { ...layer, gone: true };
}

function met(layer: Layer, offer: Offer, again: boolean): Layer {
  if (!again && !layer.gone && JSON.stringify(offer) === JSON.stringify(layer.offer)) {
    return layer;
  }
  const band = offer.bands.find(each => each.name === layer.band) ?? offer.bands[0];
  const at = offer.times.indexOf(timeOf(layer) ?? '');
  const same = band?.name === layer.band;
  const next = {
    ...layer,
    offer,
    band: band?.name ?? '',
    look: same ? layer.look : (band?.look ?? NO_LOOK),
    at: at >= 0 ? at : Math.max(0, offer.times.length - 1),
    gone: false,
    again: layer.again + (again ? 1 : 0),
    refusal: undefined
  };
  return same ? next : waiting(next);
}
