import { Clipboard } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';

/**
 * Write a code cell below the active one of the notebook that is open, and show it; nothing is run.
 *
 * Gives the notebook's path; undefined where none is open: then the code is in the clipboard.
 */
export function insertBelow(notebooks: INotebookTracker, source: string): string | undefined {
  const panel = notebooks.currentWidget;
  const model = panel?.content.model;
  if (!panel || panel.isDisposed || !model) {
    Clipboard.copyToSystem(source);
    return undefined;
  }
  const at = Math.min(panel.content.activeCellIndex + 1, model.cells.length);
  model.sharedModel.insertCell(at, { cell_type: 'code', source });
  panel.content.activeCellIndex = at;
  void panel.content.scrollToItem(at);
  return panel.context.path;
}
