import { useState } from 'react';
import type { Offer } from '../core/layers';
import { asRefusal, type Refusal } from '../core/refusal';
import type { Shared } from '../core/offers';
import { sayDay } from '../core/words';
import { Refused } from '../shell/refused';
import { useChanging } from '../shell/useChanging';
import type { MapParts } from './widget';

/** What there is to show: cubes of my kernels, shared ones, layers of the settings. */
export function OffersPanel({ shared, model }: MapParts): JSX.Element {
  const { say, api } = shared;
  const { offering, layers } = model;
  const offers = useChanging(offering.offers);
  const [fault, setFault] = useState<Refusal>();
  const show = (offer: Offer) => {
    layers.add(offer);
    if (offer.box !== null) {
      model.canvas.get()?.fit(offer.box);
    }
  };
  const showShared = (cube: Shared) => {
    setFault(undefined);
    offering.addShared(cube).then(
      key => {
        const box = layers.find(key)?.offer.box;
        return box && model.canvas.get()?.fit(box);
      },
      reason => setFault(asRefusal(reason))
    );
  };
  return (
    <section className="el-Offers" aria-label={say('addLayer')} aria-busy={offers.asking}>
      <div className="el-Line el-Head">
        <h2>{say('addLayer')}</h2>
        <button
          className="jp-Button jp-mod-styled"
          disabled={offers.asking}
          onClick={() => void offering.refresh(true)}
        >
          {say('refreshLayers')}
        </button>
      </div>
      <h3>{say('liveLayers')}</h3>
      {offers.liveRefusal && <Refused refusal={offers.liveRefusal} say={say} />}
      {offers.live.length === 0 && !offers.liveRefusal && <p className="el-Hint">{say('noLive')}</p>}
      {offers.silent > 0 && (
        <p className="el-Warning" role="status">
          {say('silentKernels', { count: offers.silent })}
        </p>
      )}
      <OfferList offers={offers.live} show={show} say={say} />
      <h3>{say('publishedLayers')}</h3>
      {offers.sharedRefusal && <Refused refusal={offers.sharedRefusal} say={say} />}
      {offers.shared.length === 0 && !offers.sharedRefusal && <p className="el-Hint">{say('noPublished')}</p>}
      <ul>
        {offers.shared.map(cube => (
          <li key={cube.token}>
            <button className="el-Add" onClick={() => showShared(cube)}>
              <span aria-hidden="true">+</span> <span className="el-Name">{cube.title}</span>
              <span className="el-Small">{sayDay(cube.start, api.language)}</span>
            </button>
          </li>
        ))}
      </ul>
      {fault && <Refused refusal={fault} say={say} />}
      <h3>{say('outsideLayers')}</h3>
      {offers.outside.length === 0 && <p className="el-Hint">{say('noOutside')}</p>}
      {offers.faults.length > 0 && (
        <p className="el-Warning" role="status">
          {say('badOutside', { names: offers.faults.join(', ') })}
        </p>
      )}
      <OfferList offers={offers.outside} show={show} say={say} />
    </section>
  );
}

function OfferList(props: {
  offers: readonly Offer[];
  show: (offer: Offer) => void;
  say: MapParts['shared']['say'];
}): JSX.Element {
  return (
    <ul>
      {props.offers.map(offer => (
        <li key={offer.key}>
          <button className="el-Add" onClick={() => props.show(offer)}>
            <span aria-hidden="true">+</span> <span className="el-Name">{offer.title}</span>
            <span className="el-Small">{offer.bands.map(band => band.name).join(', ')}</span>
            {offer.simulated && <b className="el-Simulated el-Small">{props.say('simulated')}</b>}
          </button>
        </li>
      ))}
    </ul>
  );
}
