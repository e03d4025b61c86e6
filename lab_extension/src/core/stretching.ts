import type { Layers } from './layers';
import type { Routes, Stretch } from './mapping';

/** Asks which values the ends of colours stand for, so that all dates of a layer are drawn alike. */
export class Stretching {
  private readonly asked = new WeakSet<object>();

  constructor(
    private readonly routes: Pick<Routes, 'stretch'>,
    private readonly layers: Layers
  ) {
    layers.stack.watch(() => this.look());
  }

  private look(): void {
    for (const layer of this.layers.stack.get().layers) {
      const mark = layer.look;
      if (layer.waits && !this.asked.has(mark)) {
        this.asked.add(mark);
        this.routes.stretch(layer).then(
          ends => this.end(mark, () => this.layers.settle(layer, shorten(ends))),
          // Its tiles are asked without ends then, and are refused in words where nothing can be drawn.
          () => this.end(mark, () => this.layers.settle(layer))
        );
      }
    }
  }

  private end(mark: object, settle: () => void): void {
    this.asked.delete(mark);
    settle();
  }
}

/** Four digits are as many as a legend has room for, unless the ends lie closer together. */
function shorten({ low, high }: Stretch): Stretch {
  const [from, to] = [low, high].map(end => Number(end.toPrecision(4)));
  return from < to ? { low: from, high: to } : { low, high };
}
