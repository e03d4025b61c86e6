import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { PartialJSONValue } from '@lumino/coreutils';
import type { Cell, CubeAsked } from '../core/api';
import { makeNotebook, placeCell } from '../core/cells';
import { pick } from '../core/words';
import type { IEarthlab } from '../tokens';

/** Writes the cell of a cube into the notebook that is open, or into a new one. */
export class CellWriter {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly notebooks: INotebookTracker,
    private readonly shared: IEarthlab
  ) {}

  /** Write it and show it; gives the notebook's path. Rejects with a `Refusal`. */
  async write(asked: CubeAsked): Promise<string> {
    const cell = await this.shared.api.cell(asked);
    const open = this.notebooks.currentWidget;
    return open === null || open.isDisposed ? this.begin(cell, await this.titleOf(asked)) : this.insert(open, cell);
  }

  private async titleOf(asked: CubeAsked): Promise<string> {
    const { collections, theme, place, time } = asked.question;
    const known = (await this.shared.vocabulary()).collections.find(each => each.id === collections?.[0]);
    const named = known ? pick(known.title, this.shared.api.language) : (theme ?? collections?.[0]);
    return [named ?? this.shared.say('cube'), place, time].filter(Boolean).join(', ');
  }

  private insert(panel: NotebookPanel, cell: Cell): string {
    const model = panel.content.model;
    if (model === null) {
      return '';
    }
    const metadata = [...model.cells].map(each => each.metadata);
    const { at, replaces } = placeCell(metadata, panel.content.activeCellIndex);
    const content = {
      cell_type: 'code',
      source: cell.code,
      metadata: cell.metadata as Record<string, PartialJSONValue>
    };
    model.sharedModel.transact(() => {
      if (replaces) {
        model.sharedModel.deleteCell(at);
      }
      model.sharedModel.insertCell(at, content);
    });
    panel.content.activeCellIndex = at;
    void panel.content.scrollToItem(at);
    this.app.shell.activateById(panel.id);
    return panel.context.path;
  }

  private async begin(cell: Cell, title: string): Promise<string> {
    const { contents } = this.app.serviceManager;
    const made = await contents.newUntitled({ type: 'notebook' });
    await contents.save(made.path, { ...made, format: 'json', content: makeNotebook(cell, title) });
    await this.app.commands.execute('docmanager:open', { path: made.path, factory: 'Notebook' });
    return made.path;
  }
}
