import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { ITranslator } from '@jupyterlab/translation';
import { Api, type Send, type Vocabulary } from '../core/api';
import { chooseLanguage, speak } from '../core/words';
import { IEarthlab } from '../tokens';

/** Puts requests to the routes of `earthlab_lab`, as this user. */
export function sendTo(settings: ServerConnection.ISettings): Send {
  const base = URLExt.join(settings.baseUrl, 'earthlab') + '/';
  // Else a moment is put into the address, which our routes would take for a word.
  return (path, init) => ServerConnection.makeRequest(base + path, { cache: 'default', ...init }, settings);
}

export const earthlab: JupyterFrontEndPlugin<IEarthlab> = {
  id: '@earthlab/lab:earthlab',
  description: 'What the panels of EarthLab share.',
  autoStart: true,
  provides: IEarthlab,
  optional: [ITranslator],
  activate: (app, translator: ITranslator | null): IEarthlab => {
    const language = chooseLanguage(translator?.languageCode);
    const api = new Api(sendTo(app.serviceManager.serverSettings), language);
    let vocabulary: Promise<Vocabulary> | undefined;
    return {
      api,
      say: speak(language),
      vocabulary: () => {
        vocabulary ??= api.vocabulary().catch(reason => {
          vocabulary = undefined;
          throw reason;
        });
        return vocabulary;
      }
    };
  }
};
