import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, Notification, WidgetTracker } from '@jupyterlab/apputils';
import { URLExt } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';
import { notebookIcon } from '@jupyterlab/ui-components';
import { Gallery } from '../core/gallery';
import { IEarthlab } from '../tokens';
import { GalleryPage } from './page';

const OPEN = 'earthlab:gallery';

export const gallery: JupyterFrontEndPlugin<void> = {
  id: '@earthlab/lab:gallery',
  description: 'The notebooks of the poles as cards; one click gives a working copy.',
  autoStart: true,
  requires: [IEarthlab],
  optional: [ILauncher, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    shared: IEarthlab,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const { baseUrl } = app.serviceManager.serverSettings;
    const shelf = new Gallery(shared.api);
    const tracker = new WidgetTracker<MainAreaWidget<GalleryPage>>({ namespace: 'earthlab-gallery' });
    const open = async (id: string) => {
      const path = await shelf.copy(id);
      if (path !== undefined) {
        await app.commands.execute('docmanager:open', { path });
        Notification.success(shared.say('galleryCopied', { path }), { autoClose: 4000 });
      }
    };
    const makePage = () => {
      const content = new GalleryPage({
        shared,
        gallery: shelf,
        pictureOf: id => URLExt.join(baseUrl, 'earthlab/gallery', id, 'picture'),
        open: id => void open(id)
      });
      const page = new MainAreaWidget({ content });
      page.id = 'earthlab-gallery';
      page.title.label = shared.say('gallery');
      page.title.caption = shared.say('galleryOpen');
      page.title.icon = notebookIcon;
      page.title.closable = true;
      return page;
    };
    app.commands.addCommand(OPEN, {
      label: args => shared.say(args['isPalette'] ? 'galleryOpen' : 'gallery'),
      caption: shared.say('galleryOpen'),
      icon: args => (args['isPalette'] ? undefined : notebookIcon),
      execute: async () => {
        const page = tracker.currentWidget ?? makePage();
        if (!tracker.has(page)) {
          await tracker.add(page);
        }
        if (!page.isAttached) {
          app.shell.add(page, 'main');
        }
        app.shell.activateById(page.id);
        return page;
      }
    });
    void restorer?.restore(tracker, { command: OPEN, name: () => 'gallery' });
    palette?.addItem({ command: OPEN, category: 'EarthLab', args: { isPalette: true } });
    launcher?.add({ command: OPEN, category: 'EarthLab', rank: 1, categoryRank: 0 });
  }
};
