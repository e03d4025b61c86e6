import { Changing } from './changing';
import type { Layer } from './layers';
import type { Link, Made, Routes } from './mapping';
import { asRefusal, type Refusal } from './refusal';

export interface Linked {
  readonly state: 'none' | 'asking' | 'listed' | 'refused';
  readonly list: readonly Link[];
  readonly refusal?: Refusal;
}

/** The links to layers that this person has given away, as long as they are good. */
export class Links {
  readonly linked = new Changing<Linked>({ state: 'none', list: [] });

  constructor(private readonly routes: Pick<Routes, 'links' | 'link' | 'revoke'>) {}

  /** Make one for a layer as it is shown. Rejects with a `Refusal`. */
  async make(layer: Layer, days: number, origin: string): Promise<Made> {
    const made = await this.routes.link(layer, days, origin);
    await this.look();
    return made;
  }

  async look(): Promise<void> {
    this.linked.set({ ...this.linked.get(), state: 'asking', refusal: undefined });
    await this.routes.links().then(
      list => this.linked.set({ state: 'listed', list }),
      reason => this.linked.set({ ...this.linked.get(), state: 'refused', refusal: asRefusal(reason) })
    );
  }

  async revoke(id: string): Promise<void> {
    await this.routes.revoke(id).then(
      () => this.look(),
      reason => this.linked.set({ ...this.linked.get(), state: 'refused', refusal: asRefusal(reason) })
    );
  }
}
