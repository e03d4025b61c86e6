import { useEffect, useId, useState, type KeyboardEvent } from 'react';
import type { Place, Vocabulary } from '../core/api';
import { ask, toggle } from '../core/question';
import { asRefusal, type Refusal } from '../core/refusal';
import type { Answer, Searching } from '../core/searching';
import { fold } from '../core/rows';
import { pick, type Word } from '../core/words';
import { BoxForm } from '../shell/boxForm';
import { Refused } from '../shell/refused';
import type { IEarthlab, ILabMap } from '../tokens';

const WAYS = ['byPlace', 'byTheme', 'byPeriod', 'bySatellite'] as const satisfies readonly Word[];
type Way = (typeof WAYS)[number];

export interface WayParts {
  readonly shared: IEarthlab;
  readonly searching: Searching;
  readonly map: ILabMap | null;
  readonly vocabulary: Vocabulary | undefined;
  readonly answer: Answer;
}

/** The four ways to a question, as tabs; what each says is part of the same question. */
export function Ways(parts: WayParts): JSX.Element {
  const { shared, searching, answer } = parts;
  const { say } = shared;
  const [way, setWay] = useState<Way>('byPlace');
  const id = useId();
  const turn = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step !== undefined) {
      const next = WAYS[(WAYS.indexOf(way) + step + WAYS.length) % WAYS.length];
      setWay(next);
      document.getElementById(`${id}-${next}`)?.focus();
    }
  };
  return (
    <section className="el-Ways" aria-label={say('search')}>
      <div role="tablist" className="el-Tabs" onKeyDown={turn}>
        {WAYS.map(each => (
          <button
            key={each}
            id={`${id}-${each}`}
            role="tab"
            aria-selected={each === way}
            aria-controls={`${id}-panel`}
            tabIndex={each === way ? 0 : -1}
            onClick={() => setWay(each)}
          >
            {say(each)}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${way}`} className="el-Way">
        {way === 'byPlace' && <ByPlace {...parts} />}
        {way === 'byTheme' && <ByTheme {...parts} />}
        {way === 'byPeriod' && <ByPeriod {...parts} />}
        {way === 'bySatellite' && <BySatellite {...parts} />}
      </div>
      <label className="el-Tick">
        <input
          type="checkbox"
          checked={answer.everywhere}
          onChange={event => searching.want(answer.question, event.target.checked)}
        />
        <span className="el-Name">{say('everywhere')}</span>
      </label>
    </section>
  );
}

function ByPlace({ shared, searching, map, answer }: WayParts): JSX.Element {
  const { say, api } = shared;
  const [typed, setTyped] = useState('');
  const [suggested, setSuggested] = useState<{ readonly of: string; readonly places: readonly Place[] }>();
  const [fault, setFault] = useState<Refusal>();
  const id = useId();
  useEffect(() => {
    const asking = new AbortController();
    const waiting = setTimeout(() => {
      if (typed.trim().length < 2) {
        setSuggested(undefined);
      } else {
        // Suggestions that fail are none; who presses Enter is told why.
        api.places(typed, asking.signal).then(
          places => setSuggested({ of: typed, places }),
          () => undefined
        );
      }
    }, 150);
    return () => {
      clearTimeout(waiting);
      asking.abort();
    };
  }, [api, typed]);
  const choose = (place: Place) => {
    searching.say({ place: place.label });
    setTyped('');
    setSuggested(undefined);
  };
  const enter = async () => {
    setFault(undefined);
    try {
      const places = suggested?.of === typed ? suggested.places : await api.places(typed);
      const exact = places.find(each => fold(each.label) === fold(typed)) ?? places[0];
      if (exact) {
        choose(exact);
      } else {
        setSuggested({ of: typed, places });
      }
    } catch (reason) {
      setFault(asRefusal(reason));
    }
  };
  const places = suggested?.places;
  return (
    <>
      <form
        onSubmit={event => {
          event.preventDefault();
          if (typed.trim() !== '') {
            void enter();
          }
        }}
      >
        <label className="el-Field" htmlFor={`${id}-place`}>
          {say('place')}
        </label>
        <input
          id={`${id}-place`}
          className="jp-mod-styled"
          type="search"
          autoComplete="off"
          placeholder={say('placeHint')}
          value={typed}
          maxLength={120}
          onChange={event => setTyped(event.target.value)}
        />
      </form>
      {fault && <Refused refusal={fault} say={say} />}
      {places?.length === 0 && <p role="status">{say('noPlace')}</p>}
      <ul className="el-Places">
        {places?.map(place => (
          <li key={`${place.kind}-${place.label}`}>
            <button className="jp-Button jp-mod-styled jp-mod-minimal" onClick={() => choose(place)}>
              {place.label}
            </button>
          </li>
        ))}
      </ul>
      <BoxForm
        legend={say('box')}
        say={say}
        box={answer.question.bbox}
        take={bbox => {
          searching.say({ bbox });
          return undefined;
        }}
      >
        {map && (
          <button
            type="button"
            className="jp-Button jp-mod-styled"
            onClick={() => void map.drawBox().then(bbox => bbox && searching.say({ bbox }))}
          >
            {say('draw')}
          </button>
        )}
      </BoxForm>
    </>
  );
}

function ByTheme({ shared, searching, vocabulary, answer }: WayParts): JSX.Element {
  const { say, api } = shared;
  const [pole, setPole] = useState('');
  const collections = vocabulary?.collections.filter(each => pole === '' || each.pole === pole) ?? [];
  const known = new Set(collections.map(each => each.id));
  const themes = vocabulary?.themes.filter(each => each.collections.some(name => known.has(name))) ?? [];
  const { question } = answer;
  return (
    <>
      <div className="el-Poles" role="group" aria-label={say('poles')}>
        {vocabulary?.poles
          .filter(each => each.kind === 'pole')
          .map(each => (
            <button
              key={each.id}
              className="el-Chip"
              aria-pressed={pole === each.id}
              onClick={() => setPole(pole === each.id ? '' : each.id)}
            >
              {pick(each.title, api.language)
                .split(/[,:–(]/)[0]
                .trim()}
            </button>
          ))}
      </div>
      <div className="el-Themes" role="group" aria-label={say('theme')}>
        {themes.map(each => {
          const title = pick(each.title, api.language);
          const on = question.theme !== undefined && Object.values(each.title).includes(question.theme);
          return (
            <button
              key={each.id}
              className="el-Chip"
              aria-pressed={on}
              onClick={() =>
                searching.want(ask({ ...question, collections: undefined }, { theme: on ? undefined : title }))
              }
            >
              {title}
            </button>
          );
        })}
      </div>
      <details>
        <summary>
          {say('collections')} ({collections.length})
        </summary>
        <ul className="el-Collections">
          {collections.map(each => (
            <li key={each.id}>
              <label className="el-Tick">
                <input
                  type="checkbox"
                  checked={question.theme === undefined && (question.collections?.includes(each.id) ?? false)}
                  onChange={() =>
                    searching.want(
                      toggle(
                        question.theme === undefined ? question : { ...question, theme: undefined, collections: [] },
                        'collections',
                        each.id
                      )
                    )
                  }
                />
                <span className="el-Name">{pick(each.title, api.language)}</span>
              </label>
            </li>
          ))}
        </ul>
      </details>
    </>
  );
}

function ByPeriod({ shared, searching, answer }: WayParts): JSX.Element {
  const { say } = shared;
  const [first = '', last = ''] = (answer.question.time ?? '').split('/');
  const [from, setFrom] = useState(first);
  const [to, setTo] = useState(last);
  useEffect(() => {
    setFrom(asDay(first, false));
    setTo(asDay(last || first, true));
  }, [first, last]);
  const id = useId();
  return (
    <form
      onSubmit={event => {
        event.preventDefault();
        searching.say({ time: from || to ? `${from || '..'}/${to || '..'}` : undefined });
      }}
    >
      <div className="el-Line">
        <label htmlFor={`${id}-from`}>{say('from')}</label>
        <input
          id={`${id}-from`}
          className="jp-mod-styled"
          type="date"
          value={from}
          max={to || undefined}
          onChange={event => setFrom(event.target.value)}
        />
        <label htmlFor={`${id}-to`}>{say('to')}</label>
        <input
          id={`${id}-to`}
          className="jp-mod-styled"
          type="date"
          value={to}
          min={from || undefined}
          onChange={event => setTo(event.target.value)}
        />
        <button className="jp-Button jp-mod-styled">{say('apply')}</button>
      </div>
      <p className="el-Hint">{say('periodHint')}</p>
    </form>
  );
}

function BySatellite({ shared, searching, vocabulary, answer }: WayParts): JSX.Element {
  const { say } = shared;
  const names = (word: 'platforms' | 'instruments') =>
    [...new Set(vocabulary?.collections.flatMap(each => each[word]))].sort((a, b) => a.localeCompare(b));
  return (
    <>
      {(
        [
          ['platform', 'platforms', 'satellite'],
          ['instrument', 'instruments', 'instrument']
        ] as const
      ).map(([word, list, title]) => (
        <fieldset key={word} className="el-Names">
          <legend>{say(title)}</legend>
          {names(list).map(name => (
            <button
              key={name}
              className="el-Chip"
              aria-pressed={answer.question[word]?.includes(name) ?? false}
              onClick={() => searching.want(toggle(answer.question, word, name))}
            >
              {name}
            </button>
          ))}
        </fieldset>
      ))}
    </>
  );
}

/** A whole day for a field that knows no months: `2018` is its first or its last day. */
function asDay(part: string, last: boolean): string {
  const [year, month, day] = part.split('-');
  if (!/^\d{4}$/.test(year)) {
    return '';
  }
  if (day !== undefined) {
    return part.slice(0, 10);
  }
  const end = month === undefined ? [Number(year), 12] : [Number(year), Number(month)];
  const at = last ? Date.UTC(end[0], end[1], 0) : Date.UTC(end[0], month === undefined ? 0 : end[1] - 1, 1);
  return new Date(at).toISOString().slice(0, 10);
}
