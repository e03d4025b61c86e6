import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { PartialJSONValue } from '@lumino/coreutils';
import type { Cell } from '../core/api';
import { Refusal } from '../core/refusal';
import type { IEarthlab } from '../tokens';

/** Writes a cell below the active one of a notebook. */
export class Inserter {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly notebooks: INotebookTracker,
    private readonly shared: IEarthlab
  ) {}

  /** Into the notebook of a kernel, or else the current one; gives its path. Throws a `Refusal` where none is open. */
  insert(cell: Cell, kernel?: string): string {
    const panel = this.findKernel(kernel) ?? this.notebooks.currentWidget;
    const model = panel?.content.model;
    if (!panel || !model) {
      const { say } = this.shared;
      throw new Refusal('NothingFound', say('noNotebook'), say('noNotebookRemedy'));
    }
    const at = Math.min(panel.content.activeCellIndex + 1, model.cells.length);
    model.sharedModel.insertCell(at, {
      cell_type: 'code',
      source: cell.code,
      metadata: cell.metadata as Record<string, PartialJSONValue>
    });
    panel.content.activeCellIndex = at;
    void panel.content.scrollToItem(at);
    this.app.shell.activateById(panel.id);
    return panel.context.path;
  }

  private findKernel(kernel: string | undefined): NotebookPanel | undefined {
    return kernel === undefined
      ? undefined
      : this.notebooks.find(panel => panel.sessionContext.session?.kernel?.id === kernel);
  }
}
