import type { Cell } from './api';

interface Marked {
  readonly earthlab?: { readonly query?: unknown };
}

/**
 * Where the cell of a search goes in a notebook: over the one that an earlier search left, where that is active or the
 * only one; else below the active cell.
 *
 * @param metadata of all cells in order; @param active index of the active one, -1 for none.
 */
export function placeCell(
  metadata: readonly unknown[],
  active: number
): { readonly at: number; readonly replaces: boolean } {
  const ours = metadata.flatMap((each, at) => (isOurs(each) ? [at] : []));
  if (ours.includes(active)) {
    return { at: active, replaces: true };
  }
  if (ours.length === 1) {
    return { at: ours[0], replaces: true };
  }
  return { at: Math.min(active + 1, metadata.length), replaces: false };
}

/** A notebook that holds one cell, for where none is open. */
export function makeNotebook(cell: Cell, title: string): unknown {
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: { kernelspec: { name: 'earthlab', display_name: 'EarthLab', language: 'python' } },
    cells: [
      { cell_type: 'markdown', id: 'titre', metadata: {}, source: `# ${title}` },
      { cell_type: 'code', id: 'cube', metadata: cell.metadata, source: cell.code, outputs: [], execution_count: null }
    ]
  };
}

function isOurs(metadata: unknown): boolean {
  return typeof metadata === 'object' && metadata !== null && (metadata as Marked).earthlab?.query !== undefined;
}
