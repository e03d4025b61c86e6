import { useState } from 'react';
import { Refused } from '../shell/refused';
import {
  type Card,
  initials,
  keepCards,
  LEVELS,
  type Level,
  polesOf,
  shortTitle,
  type Shown,
  type Wanted
} from '../core/gallery';
import { pick, type Word } from '../core/words';
import { useChanging } from '../shell/useChanging';
import type { IEarthlab } from '../tokens';
import type { GalleryParts } from './page';

const LEVEL_WORDS: Record<Level, Word> = {
  début: 'levelStart',
  intermédiaire: 'levelMiddle',
  avancé: 'levelAdvanced'
};

/** All notebooks, what narrows them, and what was refused. */
export function GalleryView(parts: GalleryParts): JSX.Element {
  const { shared, gallery } = parts;
  const { say } = shared;
  const shown = useChanging(gallery.shown);
  const kept = keepCards(shown.cards, shown.wanted, shared.api.language);
  return (
    <>
      <h1>{say('galleryOpen')}</h1>
      <p>{say('galleryIntro')}</p>
      <Filters shown={shown} want={words => gallery.want(words)} shared={shared} />
      <p role="status" className="el-GalleryCount">
        {shown.cards.length === 0 ? waiting(shown, say) : countOf(kept.length, say)}
      </p>
      {shown.refusal && <Refused refusal={shown.refusal} say={say} again={() => void gallery.read()} />}
      <ul className="el-Cards">
        {kept.map(card => (
          <CardView key={card.id} card={card} busy={shown.copying === card.id} {...parts} />
        ))}
      </ul>
    </>
  );
}

function waiting(shown: Shown, say: IEarthlab['say']): string {
  return shown.state === 'asking' ? say('galleryLoading') : '';
}

function countOf(count: number, say: IEarthlab['say']): string {
  return count === 0 ? say('galleryNone') : count === 1 ? say('galleryOne') : say('galleryCount', { count });
}

function Filters(props: { shown: Shown; want: (words: Partial<Wanted>) => void; shared: IEarthlab }): JSX.Element {
  const { shown, want, shared } = props;
  const { say } = shared;
  const { wanted } = shown;
  return (
    <search className="el-GalleryFilters">
      <label className="el-Line">
        {say('galleryWords')}
        <input
          className="jp-mod-styled"
          type="search"
          value={wanted.words}
          maxLength={200}
          onChange={event => want({ words: event.target.value })}
        />
      </label>
      <div role="group" aria-label={say('galleryPole')}>
        {polesOf(shown.cards).map(({ id, title }) => (
          <button
            key={id}
            className="el-Chip"
            aria-pressed={wanted.pole === id}
            onClick={() => want({ pole: wanted.pole === id ? undefined : id })}
          >
            {shortTitle(pick(title, shared.api.language))}
          </button>
        ))}
      </div>
      <div role="group" aria-label={say('galleryLevel')}>
        {LEVELS.map(level => (
          <button
            key={level}
            className="el-Chip"
            aria-pressed={wanted.level === level}
            onClick={() => want({ level: wanted.level === level ? undefined : level })}
          >
            {say(LEVEL_WORDS[level])}
          </button>
        ))}
      </div>
    </search>
  );
}

function CardView(props: GalleryParts & { card: Card; busy: boolean }): JSX.Element {
  const { card, busy, shared, open, pictureOf } = props;
  const { say } = shared;
  const { language } = shared.api;
  const title = pick(card.title, language);
  const pole = pick(card.pole_title, language);
  return (
    <li className="el-Card">
      <Picture source={card.picture ? pictureOf(card.id) : undefined} pole={pole} />
      <div className="el-CardBody">
        <p className="el-CardPole">{pole}</p>
        <h2>{title}</h2>
        <p className="el-CardQuestion" title={pick(card.summary, language)}>
          {pick(card.question, language)}
        </p>
        <ul className="el-CardFacts">
          {card.level && <li>{say(LEVEL_WORDS[card.level])}</li>}
          <li>{say('galleryMinutes', { minutes: card.minutes })}</li>
          {card.languages.map(each => (
            <li key={each}>
              <span aria-label={say('galleryLanguage', { name: nameOf(each, language) })} role="img">
                {each.toUpperCase()}
              </span>
            </li>
          ))}
        </ul>
        <button
          className="jp-Button jp-mod-styled jp-mod-accept"
          aria-label={say('galleryCopyOf', { title })}
          aria-busy={busy}
          onClick={() => open(card.id)}
        >
          {say('galleryCopy')}
        </button>
      </div>
    </li>
  );
}

/** A picture, or in its place the pole's initials on calm hills. */
function Picture({ source, pole }: { source: string | undefined; pole: string }): JSX.Element {
  const [broken, setBroken] = useState(false);
  if (source !== undefined && !broken) {
    return <img className="el-CardPicture" src={source} alt="" loading="lazy" onError={() => setBroken(true)} />;
  }
  return (
    <svg className="el-CardPicture" viewBox="0 0 320 180" aria-hidden="true" preserveAspectRatio="xMidYMid slice">
      <path className="el-CardFar" d="M0 130 Q60 84 120 116 T240 100 T320 118 V180 H0 Z" />
      <path className="el-CardNear" d="M0 158 Q80 116 160 148 T320 140 V180 H0 Z" />
      <text x="160" y="84" textAnchor="middle">
        {initials(pole)}
      </text>
    </svg>
  );
}

function nameOf(language: string, inLanguage: string): string {
  try {
    return new Intl.DisplayNames([inLanguage], { type: 'language' }).of(language) ?? language;
  } catch {
    // A code that no language has: shown as it is.
    return language;
  }
}
