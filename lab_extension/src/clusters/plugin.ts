import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { cellOf, Clusters } from '../core/clusters';
import { insertBelow } from '../shell/inserting';
import { IEarthlab } from '../tokens';
import { ClusterDashboard } from './dashboard';
import { ClustersPanel } from './panel';

const OPEN = 'earthlab:clusters';

export const clusters: JupyterFrontEndPlugin<void> = {
  id: '@earthlab/lab:clusters',
  description: 'The clusters of this user on the Dask Gateway.',
  autoStart: true,
  requires: [IEarthlab, INotebookTracker],
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    shared: IEarthlab,
    notebooks: INotebookTracker,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const model = new Clusters(shared.api);
    const tabs = new Map<string, ClusterDashboard>();
    const panel = new ClustersPanel({
      shared,
      clusters: model,
      openDashboard: ({ name, label }) => {
        const tab = tabs.get(name) ?? new ClusterDashboard(shared, model, name, label);
        if (!tab.isAttached) {
          tabs.set(name, tab);
          tab.disposed.connect(() => tabs.delete(name));
          app.shell.add(tab, 'main', { type: 'EarthLab' });
        }
        app.shell.activateById(tab.id);
      },
      insert: cluster => {
        const name = insertBelow(notebooks, cellOf(cluster));
        Notification.success(name === undefined ? shared.say('codeCopied') : shared.say('codeInserted', { name }), {
          autoClose: 4000
        });
      }
    });
    app.shell.add(panel, 'left', { rank: 92, type: 'EarthLab' });
    restorer?.add(panel, panel.id);
    app.commands.addCommand(OPEN, {
      label: shared.say('clusters'),
      caption: shared.say('clustersIntro'),
      execute: () => app.shell.activateById(panel.id)
    });
    palette?.addItem({ command: OPEN, category: 'EarthLab' });
  }
};
