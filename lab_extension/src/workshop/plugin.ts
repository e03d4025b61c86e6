import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { type News, Workshop } from '../core/workshop';
import { insertBelow } from '../shell/inserting';
import { IEarthlab } from '../tokens';
import { WorkshopPanel } from './panel';

const OPEN = 'earthlab:workshop';

export const workshop: JupyterFrontEndPlugin<void> = {
  id: '@earthlab/lab:workshop',
  description: 'The workshop that somebody is at: agenda, progress, hand and messages; for trainers the rooms.',
  autoStart: true,
  requires: [IEarthlab, INotebookTracker],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, shared: IEarthlab, notebooks: INotebookTracker, palette: ICommandPalette | null) => {
    const { say } = shared;
    const show = () => void app.commands.execute(OPEN);
    // The words of others are read in the panel: here only that there are some.
    const tell = (news: News) =>
      Notification.info(say(news === 'message' ? 'messageNew' : 'pushedNew'), {
        autoClose: 8000,
        actions: [{ label: say('messageShow'), callback: show }]
      });
    const attended = new Workshop(shared.api, tell);
    const panel = new WorkshopPanel({
      shared,
      workshop: attended,
      open: path => void app.commands.execute('docmanager:open', { path }),
      insert: source => {
        const name = insertBelow(notebooks, source);
        Notification.success(name === undefined ? say('codeCopied') : say('codeInserted', { name }), {
          autoClose: 4000
        });
      }
    });
    const add = () => {
      if (!panel.isAttached) {
        app.shell.add(panel, 'right', { rank: 90, type: 'EarthLab' });
        panel.follow();
      }
    };
    app.commands.addCommand(OPEN, {
      label: say('workshopOpen'),
      caption: say('workshopOpen'),
      execute: async () => {
        if ((await attended.read()) || panel.isAttached) {
          add();
          app.shell.activateById(panel.id);
        } else {
          Notification.info(attended.attending.get().refusal?.message ?? say('workshopNone'), { autoClose: 6000 });
        }
      }
    });
    palette?.addItem({ command: OPEN, category: 'EarthLab' });
    void app.restored.then(async () => {
      if (await attended.read()) {
        add();
      }
    });
  }
};
