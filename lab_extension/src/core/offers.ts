import type { Api } from './api';
import { Changing } from './changing';
import type { Layers, Offer } from './layers';
import type { Routes } from './mapping';
import { asRefusal, type Refusal } from './refusal';
import { parseOutside } from './outside';

/** A shared cube as the catalogue lists it: what it holds is asked when it is shown. */
export interface Shared {
  readonly token: string;
  readonly title: string;
  readonly start: string;
}

/** All that there is to show. */
export interface Offers {
  readonly asking: boolean;
  readonly live: readonly Offer[];
  /** Kernels that did not answer: they compute. */
  readonly silent: number;
  readonly liveRefusal?: Refusal;
  readonly shared: readonly Shared[];
  readonly sharedRefusal?: Refusal;
  readonly outside: readonly Offer[];
  /** Titles of configured layers that cannot be shown. */
  readonly faults: readonly string[];
}

const NONE: Offers = { asking: false, live: [], silent: 0, shared: [], outside: [], faults: [] };
const CUBES = 'earthlab-cubes';

/** Asks what there is to show: of the kernels, of the catalogue, of the settings. */
export class Offering {
  readonly offers = new Changing<Offers>(NONE);
  private run = 0;

  constructor(
    private readonly api: Pick<Api, 'search'>,
    private readonly routes: Pick<Routes, 'live' | 'published'>,
    private readonly layers: Layers
  ) {}

  /** Ask all anew; and draw live layers anew where `again` says so. */
  async refresh(again = false): Promise<void> {
    this.tell({ asking: true });
    await Promise.all([this.refreshLive(again), this.refreshShared()]);
    this.tell({ asking: false });
  }

  /** Ask the kernels anew; layers of a kernel that is busy stay as they are. */
  async refreshLive(again = false): Promise<void> {
    const run = ++this.run;
    await this.routes.live().then(
      ({ offers, silent }) => {
        if (run === this.run) {
          const kept = this.offers
            .get()
            .live.filter(({ source }) => source.kind === 'live' && silent.includes(source.kernel));
          const live = [...offers, ...kept];
          this.tell({ live, silent: silent.length, liveRefusal: undefined });
          this.layers.meet('live', live, again);
        }
      },
      reason => this.tell({ liveRefusal: asRefusal(reason) })
    );
  }

  setOutside(value: unknown): void {
    const { offers, faults } = parseOutside(value);
    this.tell({ outside: offers, faults });
    this.layers.meet('outside', offers);
  }

  /** Show a shared cube. Rejects with a `Refusal`. */
  async addShared(shared: Shared): Promise<string> {
    return this.layers.add(await this.routes.published(shared.token));
  }

  private async refreshShared(): Promise<void> {
    try {
      const shared: Shared[] = [];
      for await (const line of this.api.search({ collections: [CUBES] }, false)) {
        if ('refused' in line) {
          throw asRefusal(line.refused);
        }
        for (const row of 'rows' in line ? line.rows : []) {
          const token = /^cube-([0-9a-f]{20})$/.exec(row.id)?.[1];
          if (token !== undefined) {
            shared.push({ token, title: row.title || row.id, start: row.start });
          }
        }
      }
      this.tell({ shared, sharedRefusal: undefined });
    } catch (reason) {
      this.tell({ sharedRefusal: asRefusal(reason) });
    }
  }

  private tell(next: Partial<Offers>): void {
    this.offers.set({ ...this.offers.get(), ...next });
  }
}
