import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { fromLink } from '../core/question';
import { Planning } from '../core/planning';
import { Refusal } from '../core/refusal';
import { Searching } from '../core/searching';
import { IEarthlab, ILabMap } from '../tokens';
import { CellWriter } from './writing';
import { SavedSearches } from './saved';
import { CataloguePanel } from './panel';

const OPEN = 'earthlab:catalogue';

/** Where a shared link holds its question: `…/lab?earthlab-search=…`. */
export const LINK = 'earthlab-search';

export const catalogue: JupyterFrontEndPlugin<void> = {
  id: '@earthlab/lab:catalogue',
  description: 'Search the catalogues of all poles, and open what is found as a cube.',
  autoStart: true,
  requires: [IEarthlab, INotebookTracker, ISettingRegistry],
  optional: [ILabMap, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    shared: IEarthlab,
    notebooks: INotebookTracker,
    settings: ISettingRegistry,
    map: ILabMap | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const searching = new Searching(shared.api);
    const planning = new Planning(shared.api);
    const writer = new CellWriter(app, notebooks, shared);
    const panel = new CataloguePanel({
      shared,
      searching,
      planning,
      map,
      writer,
      saved: new SavedSearches(settings, catalogue.id)
    });
    app.shell.add(panel, 'left', { rank: 90, type: 'EarthLab' });
    restorer?.add(panel, panel.id);
    app.commands.addCommand(OPEN, {
      label: shared.say('search'),
      caption: shared.say('search'),
      execute: () => app.shell.activateById(panel.id)
    });
    palette?.addItem({ command: OPEN, category: 'EarthLab' });
    void app.restored.then(() => {
      const link = new URLSearchParams(window.location.search).get(LINK);
      if (link === null) {
        return;
      }
      const question = fromLink(link);
      app.shell.activateById(panel.id);
      if (question === undefined) {
        searching.refuse(new Refusal('BadLink', shared.say('badLink'), ''));
      } else {
        searching.want(question);
      }
    });
  }
};
