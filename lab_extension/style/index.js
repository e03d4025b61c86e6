import './base.css';
import './gallery.css';
import './map.css';
import './clusters.css';
import './workshop.css';
