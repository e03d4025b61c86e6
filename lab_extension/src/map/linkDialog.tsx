import { useState } from 'react';
import { Clipboard, Dialog, Notification, ReactWidget } from '@jupyterlab/apputils';
import type { Layer } from '../core/layers';
import type { Made } from '../core/mapping';
import { asRefusal, type Refusal } from '../core/refusal';
import { sayDay } from '../core/words';
import { Refused } from '../shell/refused';
import type { MapParts } from './widget';

const DAYS = [1, 7, 30, 90];

/** Have the user make a link to a layer, for QGIS and its like. */
export async function openLinkDialog(parts: MapParts, layer: Layer): Promise<void> {
  const { say } = parts.shared;
  const body = ReactWidget.create(<LinkForm parts={parts} layer={layer} />);
  body.addClass('el-Panel');
  body.addClass('el-LinkDialog');
  await new Dialog({
    title: say('qgisFor', { name: layer.offer.title }),
    body,
    buttons: [Dialog.cancelButton({ label: say('close') })]
  }).launch();
}

function LinkForm({ parts, layer }: { parts: MapParts; layer: Layer }): JSX.Element {
  const { shared, model } = parts;
  const { say, api } = shared;
  const [days, setDays] = useState(7);
  const [state, setState] = useState<{ making?: boolean; made?: Made; refusal?: Refusal }>({});
  const make = () => {
    setState({ making: true });
    model.links.make(layer, days, window.location.origin).then(
      made => setState({ made }),
      reason => setState({ refusal: asRefusal(reason) })
    );
  };
  const { made, refusal } = state;
  if (made !== undefined) {
    return (
      <>
        <p>{say('qgisOnce', { date: sayDay(made.expires, api.language) })}</p>
        <Address name={say('urlXyz')} url={made.url_xyz} say={say} first />
        <Address name={say('urlWmts')} url={made.url_wmts} say={say} />
        <ol className="el-Steps">
          {made.steps[api.language].map(step => (
            <li key={step}>{step}</li>
          ))}
        </ol>
      </>
    );
  }
  return (
    <div className="el-Line">
      <label>
        {say('qgisDays')}{' '}
        <select className="jp-mod-styled" value={days} onChange={event => setDays(Number(event.target.value))}>
          {DAYS.map(each => (
            <option key={each} value={each}>
              {say(each === 1 ? 'qgisDay' : 'qgisDaysOf', { days: each })}
            </option>
          ))}
        </select>
      </label>
      <button className="jp-Button jp-mod-styled jp-mod-accept" disabled={state.making} onClick={make}>
        {say('qgisMake')}
      </button>
      {refusal && <Refused refusal={refusal} say={say} />}
    </div>
  );
}

/** An address to copy; the first is focused, in place of the button that was pressed and is no more. */
function Address(props: { name: string; url: string; say: MapParts['shared']['say']; first?: boolean }): JSX.Element {
  const { name, url, say, first } = props;
  return (
    <label className="el-Address">
      {name}
      <span className="el-Line">
        <input
          className="jp-mod-styled"
          readOnly
          autoFocus={first}
          value={url}
          onFocus={event => event.target.select()}
        />
        <button
          type="button"
          className="jp-Button jp-mod-styled"
          aria-label={say('copyIt', { name })}
          onClick={() => {
            Clipboard.copyToSystem(url);
            Notification.success(say('copiedAddress'), { autoClose: 3000 });
          }}
        >
          {say('copyShort')}
        </button>
      </span>
    </label>
  );
}
