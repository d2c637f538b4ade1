/** The lab: a page in which a guest discovers its hypervisor while you watch. */
import './style/base.css';
import './style/controls.css';
import './style/parts.css';
import './style/stories.css';
import './style/text.css';
import { render } from 'preact';
import { initialSection, open } from '../state/address.ts';
import { jump } from '../state/sections.ts';
import { App } from './app.tsx';

// The machine's worker loads while the page draws itself.
open();
render(<App />, document.getElementById('lab')!);
if (initialSection !== undefined) jump(initialSection);
