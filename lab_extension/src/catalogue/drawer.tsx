import { useId, useState } from 'react';
import { Notification } from '@jupyterlab/apputils';
import type { Choices, CubeWords, Plan, Vocabulary } from '../core/api';
import { judgeMemory, LAB, type Stock } from '../core/planning';
import { ask } from '../core/question';
import { asRefusal, type Refusal } from '../core/refusal';
import { pick, sayBytes, sayDay, sayDuration, sayNumber, type Word } from '../core/words';
import { useChanging } from '../shell/useChanging';
import type { IEarthlab } from '../tokens';
import type { Parts } from './panel';
import { Refused } from '../shell/refused';

const GROUPS = [
  ['time', 'groupTime'],
  ['solar_day', 'groupDay'],
  ['month', 'groupMonth'],
  ['granule', 'groupGranule']
] as const satisfies readonly (readonly [NonNullable<CubeWords['group_by']>, Word])[];

/** A cube before it is opened: its words, and what they would cost. */
export function Drawer(
  parts: Parts & {
    vocabulary: Vocabulary | undefined;
    stocks: readonly Stock[];
    open: (stock: Stock) => void;
  }
): JSX.Element {
  const { shared, planning, writer, vocabulary, stocks, open } = parts;
  const { say } = shared;
  const { asked, choices, plan, state, refusal } = useChanging(planning.draft);
  const [fault, setFault] = useState<Refusal>();
  const [writing, setWriting] = useState(false);
  const write = async () => {
    if (asked === undefined) {
      return;
    }
    setWriting(true);
    try {
      const path = await writer.write(asked);
      setFault(undefined);
      Notification.success(say('inserted', { name: path }), { autoClose: 4000 });
    } catch (reason) {
      setFault(asRefusal(reason));
    }
    setWriting(false);
  };
  const titleOf = (name: string | undefined) => {
    const known = vocabulary?.collections.find(each => each.id === name);
    return known ? pick(known.title, shared.api.language) : (name ?? '');
  };
  const name = asked?.question.collections?.[0];
  const at = stocks.findIndex(each => each.collection === name && each.endpoint === (asked?.catalogue ?? LAB));
  return (
    <section className="el-Drawer" aria-label={say('cube')} aria-busy={state === 'asking'}>
      <div className="el-Line">
        <button className="jp-Button jp-mod-styled" onClick={() => planning.close()}>
          ← {say('back')}
        </button>
      </div>
      <h2>{titleOf(name)}</h2>
      {stocks.length > 1 && (
        <label className="el-Line">
          {say('oneCollection')}{' '}
          <select className="jp-mod-styled" value={at} onChange={event => open(stocks[Number(event.target.value)])}>
            {stocks.map((each, place) => (
              <option key={`${each.endpoint}/${each.collection}`} value={place}>
                {`${titleOf(each.collection)} (${sayNumber(each.items, shared.api.language)})`}
              </option>
            ))}
          </select>
        </label>
      )}
      {choices && asked && (
        <CubeForm
          choices={choices}
          words={asked.cube}
          choose={words => planning.choose(words)}
          time={asked.question.time ?? ''}
          chooseTime={time => planning.open(ask(asked.question, { time }), asked.catalogue ?? undefined)}
          shared={shared}
        />
      )}
      <p role="status" className="el-Small">
        {state === 'asking' ? say('planning') : ''}
      </p>
      {refusal && <Refused refusal={refusal} say={say} />}
      {plan && <PlanTable plan={plan} shared={shared} />}
      {fault && <Refused refusal={fault} say={say} />}
      <button
        className="jp-Button jp-mod-styled jp-mod-accept el-OpenCube"
        disabled={state !== 'planned' || writing}
        onClick={() => void write()}
      >
        {say('openCube')}
      </button>
    </section>
  );
}

function CubeForm(props: {
  choices: Choices;
  words: CubeWords;
  choose: (words: Partial<CubeWords>) => void;
  time: string;
  chooseTime: (time: string | undefined) => void;
  shared: IEarthlab;
}): JSX.Element {
  const { choices, words, choose, time, chooseTime, shared } = props;
  const { say } = shared;
  const id = useId();
  const [typed, setTyped] = useState(time);
  const chosen = new Set(words.bands ?? []);
  const tick = (name: string) => {
    if (!chosen.delete(name)) {
      chosen.add(name);
    }
    choose({ bands: choices.bands.map(each => each.name).filter(each => chosen.has(each)) });
  };
  const lists = [choices.bands.filter(each => each.common), choices.bands.filter(each => !each.common)] as const;
  return (
    <div className="el-Form">
      <form
        className="el-Line"
        onSubmit={event => {
          event.preventDefault();
          chooseTime(typed.trim() || undefined);
        }}
      >
        <label htmlFor={`${id}-time`}>{say('period')}</label>
        <input
          id={`${id}-time`}
          className="jp-mod-styled"
          value={typed}
          maxLength={100}
          placeholder="2018-04/2018-09"
          onChange={event => setTyped(event.target.value)}
        />
        <button className="jp-Button jp-mod-styled">{say('apply')}</button>
      </form>
      <fieldset className="el-Bands">
        <legend>{say('bands')}</legend>
        <BandTicks bands={lists[0].length > 0 ? lists[0] : lists[1]} chosen={chosen} tick={tick} />
        {lists[0].length > 0 && lists[1].length > 0 && (
          <details>
            <summary>{say('otherBands')}</summary>
            <BandTicks bands={lists[1]} chosen={chosen} tick={tick} />
          </details>
        )}
      </fieldset>
      <label htmlFor={`${id}-resolution`}>{say('resolution')}</label>
      <input
        id={`${id}-resolution`}
        className="jp-mod-styled"
        type="number"
        min={0}
        step="any"
        placeholder={choices.resolution === null ? say('resolutionNative') : String(choices.resolution)}
        defaultValue={words.resolution ?? ''}
        onChange={event => choose({ resolution: event.target.valueAsNumber > 0 ? event.target.valueAsNumber : null })}
      />
      <label htmlFor={`${id}-crs`}>{say('projection')}</label>
      <input
        id={`${id}-crs`}
        className="jp-mod-styled"
        list={`${id}-known`}
        placeholder={say('projectionNative')}
        defaultValue={words.crs ?? ''}
        onChange={event => choose({ crs: event.target.value.trim() || null })}
      />
      <datalist id={`${id}-known`}>
        {[...new Set([...choices.crs, ...FRENCH])].map(each => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <label htmlFor={`${id}-mask`}>{say('mask')}</label>
      <select
        id={`${id}-mask`}
        className="jp-mod-styled"
        value={words.mask === undefined ? 'auto' : (words.mask ?? '')}
        onChange={event => choose({ mask: event.target.value === 'auto' ? undefined : event.target.value || null })}
      >
        <option value="auto">{say('maskAuto')}</option>
        <option value="">{say('maskNone')}</option>
        {choices.masks.map(each => (
          <option key={each.name} value={each.name} title={each.why}>
            {each.name}
          </option>
        ))}
      </select>
      <label htmlFor={`${id}-group`}>{say('groupBy')}</label>
      <select
        id={`${id}-group`}
        className="jp-mod-styled"
        value={words.group_by ?? 'time'}
        onChange={event => choose({ group_by: event.target.value as CubeWords['group_by'] })}
      >
        {GROUPS.map(([value, word]) => (
          <option key={value} value={value}>
            {say(word)}
          </option>
        ))}
      </select>
      <label className="el-Tick">
        <input
          type="checkbox"
          checked={words.share ?? false}
          onChange={event => choose({ share: event.target.checked })}
        />
        <span className="el-Name">{say('share')}</span>
      </label>
    </div>
  );
}

function BandTicks(props: {
  bands: Choices['bands'];
  chosen: ReadonlySet<string>;
  tick: (name: string) => void;
}): JSX.Element {
  const { bands, chosen, tick } = props;
  return (
    <>
      {bands.map(each => (
        <label key={each.name} className="el-Tick">
          <input type="checkbox" checked={chosen.has(each.name)} onChange={() => tick(each.name)} />
          <span className="el-Name">{each.name}</span>
          <span className="el-Count">{each.unit === '1' ? '' : each.unit}</span>
        </label>
      ))}
    </>
  );
}

/** Lambert-93 and the zones of the overseas departments: those that French users ask for. */
const FRENCH = ['EPSG:2154', 'EPSG:5490', 'EPSG:2972', 'EPSG:2975', 'EPSG:4471', 'EPSG:4326', 'EPSG:3857'];

function PlanTable({ plan, shared }: { plan: Plan; shared: IEarthlab }): JSX.Element {
  const { say } = shared;
  const { language } = shared.api;
  const number = (value: number) => sayNumber(value, language);
  const memory = judgeMemory(plan);
  const limit = plan.limit === null ? '' : sayBytes(plan.limit, language);
  const rows: readonly (readonly [Word, string])[] = [
    ['planItems', `${number(plan.items)}, ${number(plan.dates)}`],
    ['bands', plan.bands.map(({ name, unit }) => (unit && unit !== '1' ? `${name} [${unit}]` : name)).join(', ')],
    ['planGrid', plan.grid],
    ['planMask', plan.mask ? plan.mask.name : say('maskNone')],
    ...(plan.missing > 0 ? [['planMissing', number(plan.missing)] as const] : []),
    ['planReads', number(plan.reads)],
    ['planSize', sayBytes(plan.bytes, language)],
    ['planMemory', `≤ ${sayBytes(plan.peak, language)}`],
    ['planTime', say('planTimeOf', { time: sayDuration(plan.seconds, language) })],
    ['planShared', plan.shared ? say('sharedYes', { date: sayDay(plan.shared.created, language) }) : say('sharedNo')],
    ['licence', plan.licences.join(', ')]
  ];
  return (
    <>
      {plan.simulated && <p className="el-Simulated">{say('simulated')}</p>}
      <table className="el-Plan">
        <tbody>
          {rows.map(([word, value]) => (
            <tr key={word}>
              <th scope="row">{say(word)}</th>
              <td>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {memory === 'fits' && <p className="el-Good">{say('fits', { limit })}</p>}
      {memory === 'lazily' && <p className="el-Hint">{say('lazily', { limit })}</p>}
      {memory === 'too-much' && (
        <p className="el-Fault" role="alert">
          {say('tooMuch', { limit })}
        </p>
      )}
    </>
  );
}
