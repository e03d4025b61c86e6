import { Refused } from '../shell/refused';
import { count, planAgenda, type Planned, type Room, type Seat } from '../core/workshop';
import { pick, sayDuration, sayNumber, type Word } from '../core/words';
import { useChanging } from '../shell/useChanging';
import type { IEarthlab } from '../tokens';
import type { WorkshopParts } from './panel';

/** One's own seat, or the rooms that one watches. */
export function WorkshopView(parts: WorkshopParts): JSX.Element {
  const { shared, workshop } = parts;
  const { say } = shared;
  const { state, seat, rooms, busy, refusal } = useChanging(workshop.attending);
  const empty = seat === null && rooms.length === 0;
  return (
    <div className="el-Workshop">
      <h2>{seat ? pick(seat.title, shared.api.language) : say(rooms.length > 0 ? 'rooms' : 'workshop')}</h2>
      {refusal && <Refused refusal={refusal} say={say} again={() => void workshop.read()} />}
      {empty && !refusal && <p role="status">{say(state === 'none' ? 'workshopReading' : 'workshopNone')}</p>}
      {seat && <SeatView seat={seat} busy={busy} {...parts} />}
      {rooms.map(room => (
        <RoomView key={room.slug} room={room} shared={shared} />
      ))}
    </div>
  );
}

function SeatView(props: WorkshopParts & { seat: Seat; busy: boolean }): JSX.Element {
  const { seat, busy, shared, workshop } = props;
  const { say } = shared;
  const up = seat.hand !== null;
  return (
    <>
      <p>
        {say('workshopSeat', { number: seat.number })} · {ending(seat, shared)}
      </p>
      {seat.help && (
        <div className="el-Warning" role="alert">
          <p>{say('helpAsked', { trainer: seat.help.trainer })}</p>
          <Outside href={seat.page} word="helpAnswer" say={say} />
        </div>
      )}
      {seat.stage === 'open' && (
        <div>
          <button
            className={`jp-Button jp-mod-styled el-Hand ${up ? '' : 'jp-mod-accept'}`}
            aria-pressed={up}
            disabled={busy}
            onClick={() => void workshop.raise(!up)}
          >
            <span aria-hidden="true">☝</span> {say(up ? 'handDown' : 'handUp')}
          </button>
          <p role="status" className="el-Small">
            {seat.hand === null ? '' : say('handIsUp', { time: clock(seat.hand, shared) })}
          </p>
        </div>
      )}
      <Progress seat={seat} shared={shared} />
      <Said {...props} />
      <Agenda {...props} />
      <p className="el-Small">{say('contact', { contact: seat.contact })}</p>
      <p>
        <Outside href={seat.page} word="myPlace" say={say} />
      </p>
      <p className="el-Small">{say('workshopPrivacy')}</p>
    </>
  );
}

function ending(seat: Seat, shared: IEarthlab): string {
  const left = seat.closes - seat.now;
  if (seat.stage !== 'open' || left <= 0) {
    return shared.say('workshopOver');
  }
  const minutes = 60 * Math.max(1, Math.round(left / 60));
  return shared.say('workshopEnds', {
    time: clock(seat.closes, shared),
    left: sayDuration(minutes, shared.api.language)
  });
}

function Progress({ seat, shared }: { seat: Seat; shared: IEarthlab }): JSX.Element {
  const { say } = shared;
  const { language } = shared.api;
  const done = count(seat.cells, 'd');
  return (
    <section>
      <h3>{say('workshopProgress')}</h3>
      <p>{say('workshopDone', { done: sayNumber(done, language), all: sayNumber(seat.cells.length, language) })}</p>
      <Cells states={seat.cells} />
      {seat.error && <p className="el-Error">{say('workshopStuck', { error: seat.error })}</p>}
    </section>
  );
}

/** A strip a cell; what it says stands beside in words. */
function Cells({ states }: { states: string }): JSX.Element {
  return (
    <span className="el-Cells" aria-hidden="true">
      {[...states].map((state, at) => (
        <span key={at} className={state === '.' ? '' : `el-mod-${state}`} />
      ))}
    </span>
  );
}

function Agenda({ seat, shared, open }: WorkshopParts & { seat: Seat }): JSX.Element {
  const { say } = shared;
  return (
    <section>
      <h3>{say('agenda')}</h3>
      {planAgenda(seat).map(({ part, unlocked, lessons }) => (
        <div key={part}>
          <p>
            <strong>{say('agendaPart', { part })}</strong>
            {unlocked ? '' : ` · ${say('agendaLater')}`}
          </p>
          <ul>
            {lessons.map(lesson => (
              <LessonView key={lesson.path} lesson={lesson} shared={shared} open={open} />
            ))}
          </ul>
        </div>
      ))}
    </section>
  );
}

function LessonView(props: { lesson: Planned; shared: IEarthlab; open: (path: string) => void }): JSX.Element {
  const { lesson, shared, open } = props;
  const { say } = shared;
  const { place } = lesson;
  return (
    <li className="el-Lesson">
      {place === undefined ? (
        <span className="el-Name">{lesson.path}</span>
      ) : (
        <button className="el-Link" aria-label={say('agendaOpen', { path: lesson.path })} onClick={() => open(place)}>
          {lesson.path}
        </button>
      )}
      <span>
        {lesson.done} / {lesson.cells}
      </span>
    </li>
  );
}

/** What the trainer has said and sent, the latest first. */
function Said({ seat, shared, insert }: WorkshopParts & { seat: Seat }): JSX.Element {
  const { say } = shared;
  return (
    <>
      <section aria-live="polite">
        <h3>{say('messages')}</h3>
        {seat.messages.length === 0 && <p className="el-Small">{say('messagesNone')}</p>}
        {[...seat.messages].reverse().map(each => (
          <p key={each.number} className="el-Said">
            {each.text}
          </p>
        ))}
      </section>
      {seat.pushed.length > 0 && (
        <section>
          <h3>{say('pushed')}</h3>
          {[...seat.pushed].reverse().map(each => (
            <div key={each.number} className="el-Pushed">
              <pre tabIndex={0} aria-label={say('pushedOf', { number: each.number })}>
                {each.source}
              </pre>
              <button className="jp-Button jp-mod-styled" onClick={() => insert(each.source)}>
                {say('pushedInsert')}
              </button>
            </div>
          ))}
        </section>
      )}
    </>
  );
}

const COUNTS = [
  ['here', 'roomHere'],
  ['hands', 'roomHands'],
  ['stuck', 'roomStuck'],
  ['finished', 'roomFinished']
] as const satisfies readonly (readonly [keyof Room, Word])[];

function RoomView({ room, shared }: { room: Room; shared: IEarthlab }): JSX.Element {
  const { say } = shared;
  const title = pick(room.title, shared.api.language);
  return (
    <section className="el-Cluster" aria-label={title}>
      <h3>{title}</h3>
      <ul className="el-Counts">
        {COUNTS.map(([key, word]) => (
          <li key={key}>{say(word, { count: room[key] })}</li>
        ))}
      </ul>
      <a className="el-Link" href={room.page} target="_blank" rel="noopener" aria-label={say('roomWallOf', { title })}>
        {say('roomWall')} ↗
      </a>
    </section>
  );
}

/** A page of the workshops' service: it lets nobody frame it, so that it has a tab of its own. */
function Outside({ href, word, say }: { href: string; word: Word; say: IEarthlab['say'] }): JSX.Element {
  return (
    <a className="el-Link" href={href} target="_blank" rel="noopener" aria-label={`${say(word)}, ${say('newTab')}`}>
      {say(word)} ↗
    </a>
  );
}

function clock(seconds: number, shared: IEarthlab): string {
  return new Intl.DateTimeFormat(shared.api.language, { timeStyle: 'short' }).format(new Date(1000 * seconds));
}
