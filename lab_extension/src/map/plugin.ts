import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, IThemeManager, WidgetTracker } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { Routes } from '../core/mapping';
import { IEarthlab, ILabMap } from '../tokens';
import { Inserter } from './inserting';
import { Keeper } from './keeping';
import { MapModel } from './model';
import { mapIcon, MapWidget } from './widget';

const OPEN = 'earthlab:map';
const ID = '@earthlab/lab:map';

/** Milliseconds after a cell's end at which the kernels are asked: cells often follow each other. */
const AFTER_CELL = 400;

export const map: JupyterFrontEndPlugin<ILabMap> = {
  id: ID,
  description: 'Cubes and what was found, on a map.',
  autoStart: true,
  provides: ILabMap,
  requires: [IEarthlab, INotebookTracker],
  optional: [ICommandPalette, ILauncher, ILayoutRestorer, ISettingRegistry, IStateDB, IThemeManager],
  activate: (
    app: JupyterFrontEnd,
    shared: IEarthlab,
    notebooks: INotebookTracker,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null,
    state: IStateDB | null,
    themes: IThemeManager | null
  ): ILabMap => {
    const model = new MapModel(shared, new Routes(shared.api));
    const inserter = new Inserter(app, notebooks, shared);
    const keeper = state ? new Keeper(model, state) : undefined;
    const tracker = new WidgetTracker<MapWidget>({ namespace: 'earthlab-map' });
    const open = (): void => {
      const widget = tracker.currentWidget ?? new MapWidget({ shared, model, inserter, keeper });
      if (!widget.isAttached) {
        app.shell.add(widget, 'main', { type: 'EarthLab' });
        void tracker.add(widget);
      }
      app.shell.activateById(widget.id);
    };
    app.commands.addCommand(OPEN, {
      label: args => shared.say(args.isPalette ? 'openMap' : 'map'),
      caption: shared.say('openMap'),
      icon: mapIcon,
      execute: open
    });
    palette?.addItem({ command: OPEN, category: 'EarthLab', args: { isPalette: true } });
    launcher?.add({ command: OPEN, category: 'EarthLab', rank: 2 });
    void restorer?.restore(tracker, { command: OPEN, name: () => 'map' });
    themes?.themeChanged.connect(() => model.canvas.get()?.paint());
    followSettings(settings, model);
    followCells(model, () => tracker.currentWidget?.isVisible ?? false);
    return {
      showRows: rows => model.showRows(rows),
      mark: row => model.marked.set(row),
      drawBox: () => {
        open();
        return model.drawBox();
      }
    };
  }
};

/** The layers that are configured, now and whenever the settings change. */
function followSettings(settings: ISettingRegistry | null, model: MapModel): void {
  settings?.load(ID).then(
    found => {
      const take = () => model.offering.setOutside(found.composite.layers);
      found.changed.connect(take);
      take();
    },
    reason => console.warn(`${ID}: no settings (${String(reason)}); the map has no configured layers.`)
  );
}

/** Ask the kernels for their layers when a cell has run, while somebody looks at the map. */
function followCells(model: MapModel, isSeen: () => boolean): void {
  let waiting: ReturnType<typeof setTimeout> | undefined;
  NotebookActions.executed.connect(() => {
    clearTimeout(waiting);
    waiting = setTimeout(() => isSeen() && void model.offering.refreshLive(), AFTER_CELL);
  });
}
