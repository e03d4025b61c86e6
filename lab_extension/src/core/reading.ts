import { Changing } from './changing';
import type { Corner, Ring } from './footprints';
import { bandOf, isNatural, type Layer } from './layers';
import type { Routes, Series, Statistics } from './mapping';
import { asRefusal, type Refusal } from './refusal';
import type { Row } from './rows';

/** What there is at a place: items over it, and the values of the chosen layer. */
export interface Place {
  readonly at: Corner;
  readonly rows: readonly Row[];
  readonly layer?: Layer;
  readonly state: 'asking' | 'read' | 'refused';
  readonly series?: Series;
  readonly refusal?: Refusal;
}

/** What an area holds: of the chosen layer, time by time. */
export interface Area {
  readonly ring: Ring;
  readonly layer?: Layer;
  readonly state: 'asking' | 'read' | 'refused';
  readonly statistics?: Statistics;
  readonly refusal?: Refusal;
}

/** Reads places and areas: the last that was asked for alone counts. */
export class Reading {
  readonly place = new Changing<Place | undefined>(undefined);
  readonly area = new Changing<Area | undefined>(undefined);
  private atPlace?: AbortController;
  private inArea?: AbortController;

  constructor(private readonly routes: Pick<Routes, 'series' | 'statistics'>) {}

  async readPlace(at: Corner, rows: readonly Row[], layer: Layer | undefined): Promise<void> {
    this.atPlace?.abort();
    const asking = (this.atPlace = new AbortController());
    const asked = { at, rows, layer };
    if (layer === undefined || !isReadable(layer)) {
      this.place.set({ ...asked, state: 'read' });
      return;
    }
    this.place.set({ ...asked, state: 'asking' });
    const found = await this.routes.series(layer, at, asking.signal).then(
      series => ({ state: 'read', series }) as const,
      reason => ({ state: 'refused', refusal: asRefusal(reason) }) as const
    );
    if (!asking.signal.aborted) {
      this.place.set({ ...asked, ...found });
    }
  }

  async readArea(ring: Ring, layer: Layer | undefined): Promise<void> {
    this.inArea?.abort();
    const asking = (this.inArea = new AbortController());
    if (layer === undefined || !isReadable(layer)) {
      this.area.set({ ring, layer, state: 'read' });
      return;
    }
    this.area.set({ ring, layer, state: 'asking' });
    const found = await this.routes.statistics(layer, ring, asking.signal).then(
      statistics => ({ state: 'read', statistics }) as const,
      reason => ({ state: 'refused', refusal: asRefusal(reason) }) as const
    );
    if (!asking.signal.aborted) {
      this.area.set({ ring, layer, ...found });
    }
  }

  leavePlace(): void {
    this.atPlace?.abort();
    this.place.set(undefined);
  }

  leaveArea(): void {
    this.inArea?.abort();
    this.area.set(undefined);
  }
}

/** Whether a layer has one value at a place, and not only a colour. */
export function isReadable(layer: Layer): boolean {
  const band = bandOf(layer);
  return band !== undefined && !isNatural(band);
}

/** Why there are no values; nothing where there are. */
export function whyUnread(layer: Layer | undefined): 'noReading' | 'notReadable' | 'naturalReading' | undefined {
  if (layer === undefined) {
    return 'noReading';
  }
  return isReadable(layer) ? undefined : bandOf(layer) === undefined ? 'notReadable' : 'naturalReading';
}
