/** The lab: a page in which a guest discovers its hypervisor while you watch. */
import './style/base.css';
import './style/controls.css';
import './style/parts.css';
import './style/text.css';
import { render } from 'preact';
import { App } from './app.tsx';
import { landing, start } from './lab.ts';
import { jump } from './sections.ts';

// The machine's worker loads while the page draws itself.
start();
render(<App />, document.getElementById('lab')!);
if (landing !== undefined) jump(landing);
