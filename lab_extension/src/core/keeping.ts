import type { Corner } from './footprints';
import { timeOf, type Layer, type Layers, type Look, type Offer, type Stack } from './layers';
import type { Box } from './question';

/** How a layer was shown. Where it comes from is not kept: that is asked anew of who offers it. */
export interface KeptLayer {
  /** The key of its offer. */
  readonly offer: string;
  readonly band: string;
  readonly time: string;
  readonly look: Look;
  readonly opacity: number;
  readonly visible: boolean;
}

/** What of a map outlives its page: layers from the top to the bottom, and others by their place among them. */
export interface Kept {
  readonly layers: readonly KeptLayer[];
  readonly chosen?: number;
  readonly swipe?: { readonly left: number; readonly right: number; readonly share: number };
  readonly projection?: string;
  readonly seen?: { readonly middle: Corner; readonly metres: number; readonly box: Box };
}

const MOST = 50;

/** What is shown, as it is kept. */
export function keepStack(stack: Stack): Kept {
  const at = (key: string | undefined) => stack.layers.findIndex(each => each.key === key);
  const { swipe } = stack;
  return {
    layers: stack.layers.slice(0, MOST).map(layer => ({
      offer: layer.offer.key,
      band: layer.band,
      time: timeOf(layer) ?? '',
      look: layer.look,
      opacity: layer.opacity,
      visible: layer.visible
    })),
    ...(stack.chosen === undefined ? {} : { chosen: at(stack.chosen) }),
    ...(swipe ? { swipe: { left: at(swipe.left), right: at(swipe.right), share: swipe.share } } : {})
  };
}

/** What was kept: of a text from elsewhere, or of another version, what can be understood. */
export function parseKept(value: unknown): Kept {
  const said = fieldsOf(value);
  const [swipe, seen] = [fieldsOf(said.swipe), fieldsOf(said.seen)];
  const layers = (Array.isArray(said.layers) ? said.layers.slice(0, MOST) : []).map(parseLayer);
  return {
    layers: layers.filter(each => each.offer !== ''),
    ...(isNumber(said.chosen) ? { chosen: said.chosen } : {}),
    ...(isNumber(swipe.left) && isNumber(swipe.right) && isNumber(swipe.share)
      ? { swipe: { left: swipe.left, right: swipe.right, share: swipe.share } }
      : {}),
    ...(typeof said.projection === 'string' ? { projection: said.projection } : {}),
    ...(isNumbers(seen.middle, 2) && isNumber(seen.metres) && seen.metres > 0 && isNumbers(seen.box, 4)
      ? { seen: { middle: seen.middle as unknown as Corner, metres: seen.metres, box: seen.box as unknown as Box } }
      : {})
  };
}

/** The token of a shared cube, by the key of its offer. */
export function sharedToken(offer: string): string | undefined {
  return /^published\/([0-9a-f]{20})$/.exec(offer)?.[1];
}

/**
 * Show again, on top of what is shown now, those of the kept layers that there are offers for; gives the others.
 */
export function showKept(layers: Layers, kept: Kept, offers: ReadonlyMap<string, Offer>): readonly KeptLayer[] {
  const keys = kept.layers.map(() => undefined as string | undefined);
  const missing: KeptLayer[] = [];
  for (const [at, each] of [...kept.layers.entries()].reverse()) {
    const offer = offers.get(each.offer);
    if (offer === undefined) {
      missing.unshift(each);
    } else {
      keys[at] = layers.add(offer, likeBefore(each, offer), 'above');
    }
  }
  const key = (at: number | undefined) => (at === undefined ? undefined : keys[at]);
  const [chosen, left, right] = [key(kept.chosen), key(kept.swipe?.left), key(kept.swipe?.right)];
  if (left !== undefined && right !== undefined && kept.swipe !== undefined) {
    layers.compare(left, right);
    layers.slide(kept.swipe.share);
  }
  if (chosen !== undefined) {
    layers.choose(chosen);
  }
  return missing;
}

/** A layer as it was, as far as its offer still has what it showed. */
function likeBefore(kept: KeptLayer, offer: Offer): Partial<Layer> {
  const { opacity, visible, look } = kept;
  const at = offer.times.indexOf(kept.time);
  const band = offer.bands.find(each => each.name === kept.band);
  return { opacity, visible, ...(at < 0 ? {} : { at }), ...(band ? { band: band.name, look } : {}) };
}

function parseLayer(value: unknown): KeptLayer {
  const said = fieldsOf(value);
  const look = fieldsOf(said.look);
  const end = (side: unknown) => (isNumber(side) ? side : null);
  return {
    offer: textOf(said.offer),
    band: textOf(said.band),
    time: textOf(said.time),
    look: { colormap: textOf(look.colormap) || 'viridis', low: end(look.low), high: end(look.high) },
    opacity: isNumber(said.opacity) ? Math.max(0, Math.min(1, said.opacity)) : 1,
    visible: said.visible !== false
  };
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 2000) : '';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isNumbers(value: unknown, count: number): value is readonly number[] {
  return Array.isArray(value) && value.length === count && value.every(isNumber);
}
