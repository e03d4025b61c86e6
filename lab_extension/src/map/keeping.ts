import type { IStateDB } from '@jupyterlab/statedb';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';
import { keepStack, parseKept, sharedToken, showKept, type Kept, type KeptLayer } from '../core/keeping';
import type { Offer } from '../core/layers';
import { findProjection } from '../core/projections';
import type { MapModel } from './model';

const SHOWN = 'earthlab:map-shown';

/** Keeps in the workspace what the map shows, so that it is there again when the page is loaded anew. */
export class Keeper {
  private readonly read: Promise<Kept>;
  private resumed?: Promise<void>;
  private missing: readonly KeptLayer[] = [];

  constructor(
    private readonly model: MapModel,
    private readonly state: IStateDB
  ) {
    this.read = state.fetch(SHOWN).then(parseKept, () => parseKept(undefined));
    void this.read.then(kept => this.lookAgain(kept));
  }

  /** Show the layers of the last page, once all is known that there is to show; from then on keep what is shown. */
  resume(): Promise<void> {
    return (this.resumed ??= this.showAgain());
  }

  private lookAgain({ projection, seen }: Kept): void {
    const { model } = this;
    if (model.canvas.get() === undefined) {
      model.projection.set(findProjection(projection ?? '').code);
      model.seen.set(seen);
    }
  }

  private async showAgain(): Promise<void> {
    const { model } = this;
    const kept = await this.read;
    const shared = await Promise.all(
      kept.layers.map(({ offer }) => {
        const token = sharedToken(offer);
        // A cube that is no more there, or not for this person any more, is not shown again.
        return token === undefined ? undefined : model.routes.published(token).catch(() => undefined);
      })
    );
    this.missing = showKept(model.layers, kept, this.offered(shared));
    model.offering.offers.watch(() => this.showLate());
    [model.layers.stack, model.projection, model.seen].forEach(each => each.watch(() => this.keep()));
  }

  /** Layers of a kernel that was busy come when it has answered. */
  private showLate(): void {
    if (this.missing.length > 0) {
      const layers = this.missing;
      this.missing = [];
      this.missing = showKept(this.model.layers, { layers }, this.offered([]));
    }
  }

  private offered(others: readonly (Offer | undefined)[]): ReadonlyMap<string, Offer> {
    const { live, outside } = this.model.offering.offers.get();
    return new Map([...live, ...outside, ...others.filter(each => each !== undefined)].map(each => [each.key, each]));
  }

  private keep(): void {
    const { layers, projection, seen } = this.model;
    const { layers: shown, ...rest } = keepStack(layers.stack.get());
    const kept: Kept = {
      ...rest,
      layers: [...shown, ...this.missing],
      projection: projection.get(),
      seen: seen.get()
    };
    void this.state.save(SHOWN, kept as unknown as ReadonlyPartialJSONValue);
  }
}
