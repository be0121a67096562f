"""Function words of languages: articles, pronouns, prepositions, conjunctions, auxiliary verbs.

The lists are short on purpose. Published lists also contain words that name things ("computer",
"fire", "room"), which a catalogue needs. They are part of the source, since a changed list changes
how texts are read: a list may only change together with a new kind of reading.
"""

# Languages in Latin script with the words by which a text is recognised as theirs. The order is
# that of the counts in snapshots: append only.
LATIN = {
    "english": """a about after again all also am an and any are as at be been before being below
        between both but by can could did do does doing during each for from further had has have
        having he her here hers him his how i if in into is it its itself me more most my myself
        no nor not of off on once only or other our ours out over own same she should so some such
        than that the their theirs them then there these they this those through to too under
        until up upon very was we were what when where which while who whom why will with within
        without would you your yours""",
    "german": """aber alle allem allen aller alles als also am an andere anderen anderer anderes
        auch auf aus bei beim bin bis bist da damit dann das dass dein deine dem den denn der des
        dessen die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem einen
        einer eines er es etwas euch euer eure für gegen gewesen hab habe haben hat hatte hatten
        hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ist ja jede jedem jeden
        jeder jedes jene kann kein keine keinem keinen keiner können man mein meine meinem meinen
        meiner mich mir mit muss nach nicht nichts noch nun nur ob oder ohne sehr sein seine
        seinem seinen seiner sich sie sind so solche soll sondern sowie über um und uns unser
        unsere unter vom von vor während war waren was weil welche welcher wenn wer werden wie
        wieder will wir wird wo wurde zu zum zur zwar zwischen""",
    "french": """à afin ai ainsi après au aucun aucune aussi autre autres aux avant avec avoir c
        ce ceci cela ces cet cette ceux chaque chez comme contre d dans de depuis des dès donc
        dont du elle elles en encore entre est et étaient était être eu eux il ils j je jusque l
        la là le les leur leurs lors lui m ma mais me même mes moi mon n ne ni nos notre nous on
        ont ou où par parce pas pendant peu plus pour puis qu quand que quel quelle quelles quels
        qui s sa sans se sera ses si son sont sous sur ta te tes toi ton tous tout toute toutes
        très tu un une vers vos votre vous y""",
    "spanish": """a al algo algunos ante antes aquel aquella como con contra cual cuando de del
        desde donde durante e el él ella ellas ellos en entre era eran es esa esas ese eso esos
        esta está están estas este esto estos fue ha han hasta hay la las le les lo los más me mi
        mis mucho muy nada ni no nos nosotros nuestra nuestro o os otra otras otro otros para pero
        poco por porque que qué quien se sea según ser si sí sido sin sobre son su sus también
        tanto te tiene tienen toda todas todo todos tu tus u un una unas uno unos y ya yo""",
    "italian": """a ad agli ai al alla alle allo anche anzi avere c che chi ci coi col come con
        contro cui d da dagli dai dal dalla dalle dallo degli dei del dell della delle dello
        dentro di dopo dove e è ed era erano essere fra gli ha hanno i il in io l la le lei li lo
        loro lui ma me mentre mi mia mie miei mio ne negli nei nel nell nella nelle nello noi non
        nostra nostro o ogni per perché però più poi prima quale quali quando quanto quella quelle
        quello questa queste questi questo qui se sei senza si sia sono sopra sotto stata stato su
        sua sue sugli sui sul sulla sulle sullo suo suoi tra tu tutta tutte tutti tutto un una uno
        vi voi""",
    "portuguese": """a à ao aos aquela aquele as às até com como da das de dela dele deles depois
        do dos e é ela elas ele eles em entre era essa essas esse esses esta está estas este estes
        eu foi foram há isso isto já la lhe lhes lo mais mas me mesmo meu minha muito na não nas
        nem no nos nós nossa nosso num numa o os ou para pela pelas pelo pelos por qual quando que
        quem se sem ser seu seus só sob sobre são sua suas também te tem têm teu toda todas todo
        todos tu tua um uma umas uns você vocês""",
    "dutch": """aan al alle als altijd andere ben bij daar dan dat de der deze die dit doch doen
        door dus een en er ge geen haar had heb hebben heeft hem het hier hij hoe hun ik in is ja
        je kan kon maar me meer men met mij mijn moet na naar niet niets nog nu of om omdat ons
        ook op over te tegen toch toen tot u uit uw van veel voor want waren was wat werd wezen
        wie wil worden wordt zal ze zelf zich zij zijn zo zonder zou""",
    "swedish": """alla allt att av bara bli blir då de dem den denna deras dess dessa det detta
        dig din dina ditt du där efter ej eller en er ert ett från för ha hade han hans har henne
        hennes hon honom hur här i icke in ingen inom inte jag kan kunde man med mellan men mig
        min mina mitt mot mycket ni nu när någon något några och om oss på sedan sig sin sina sitt
        själv skulle så sådan till under upp ut utan vad var vara varför varit varje vem vi vid
        vilka vilken är över""",
    "danish": """ad af alle alt anden at blev blive bliver da de dem den denne der deres det dette
        dig din dine disse dog du efter eller en end er et for fra ham han hans har havde have
        hende hendes her hos hun hvad hvis hvor i ikke ind jeg jer jo kunne man mange med meget
        men mig min mine mit mod når ned noget nogle nu og også om op os over på sig sin sine sit
        skal skulle som sådan til ud under var vi vil ville vor være været""",
    "norwegian": """alle at av bare ble blei bli blir da de deg dei dem den denne der dere deres
        det dette di din disse ditt du eller en enn er et ett etter for fordi fra før ha hadde han
        hans har henne hennes her hun hva hver hvilken hvis hvor hvordan i ikke ingen inn jeg kan
        kom kun kunne man mange med meg meget mellom men mer min mitt mot mye nå når ned noe noen
        og også om opp oss over på så seg selv si sin sine sitt skal skulle som til under ut uten
        var vår vært vi vil ville være""",
    "finnish": """ei eivät ennen että he hän häntä hänen ilman ja jos jossa jotka joka jolla jonka
        joita kaikki kanssa koska kuin kun kuten me mikä minä minun mitä mukaan mutta myös ne nämä
        niin niitä noin nyt ole oli olla on ovat se sekä sen siitä sinä sitä tai te tämä tämän
        tässä tuo vaan vai vain vielä voi voit yli""",
    "polish": """a aby ale bez bo by być był była było były co czy dla do gdy go i ich ile im inne
        ja jak jako je jednak jego jej jest jeszcze już kiedy która które którego której który
        których lub ma mają mnie może można my na nad nie nim niż o od on ona one oni oraz po pod
        przed przez przy również się są ta tak także tam te tego tej ten też to tu ty tylko tym w
        we więc wszystkie wszystko z za ze że""",
    "czech": """a aby aj ale ani až bez bude by být byl byla byli bylo co což či do i já jak jako
        je jeho jej její jejich jen ještě již jsem jsme jsou k kde kdo když ke která které který
        ma má mezi mi mít na nad nebo není než o od on ona oni po pod podle pro proto protože před
        přes při pak s se si sem své svůj ta tak také tato tedy ten tento to toho tom toto tu u už
        v ve více však vše z za ze že""",
    "hungarian": """a az abban ahol aki akik akkor alatt amely amelyek ami amit arra át azok azt
        azzal be csak de e ebben egy egyes egyik el előtt és ez ezek ezt fel felé ha hanem hogy
        ide ill illetve ilyen is itt jó ki kívül le legyen lehet magát már más meg mert mi mint
        minden mivel most nagyon ne nem nincs ő ők össze pedig sem s sok szerint számára tehát
        után utána utolsó vagy vagyis való van vannak volt voltak""",
    "romanian": """a acea aceasta această aceea acei acel aceste acest acesta acestea acești ai al
        ale am ar are as așa atât au avea bine ca că când care cât ce cel cele cei celor cine cu
        cum da dacă dar de deși despre din după e ea ei el ele era este eu fără face fi fie
        fiecare foarte iar îi îl în între îți la le li lor lui mai mi nu o or ori pe pentru peste
        prin sa să sale sau și se sunt ta te tot toate toți tu un una unei unor unui va vă voi
        vor""",
    "turkish": """ama ancak artık aslında az bana bazı belki ben beni benim bir biri birkaç biz
        bize bizim bu buna bunda bunlar bunu bunun çok çünkü da daha de değil diye dolayı en eğer
        gibi göre hem hep hepsi her hiç için ile ise kadar ki kim mi mı mu mü nasıl ne neden
        nerede o olan olarak oldu olduğu olur ona onlar onu onun öyle sadece sen siz sonra şey şu
        tüm ve veya ya yani yok""",
    "indonesian": """ada adalah agar akan anda antara apa atau bagi bahwa bisa dalam dan dapat
        dari dengan di ia ini itu jika juga kami kamu karena ke kepada kita lebih maka mereka
        merupakan namun oleh pada para saat sebagai sebuah secara seperti serta sudah telah tetapi
        tidak untuk yaitu yang""",
    "vietnamese": """các cái cho có của cũng đã đang để đến đó được hay khi không là lại lên mà
        một này nên những như nhưng ở ra rất sẽ tại thì theo trên trong từ và vào vẫn về với""",
}

# Function words in other scripts, in which a word is read alike in every text.
OTHER = """
    а без бы был была были было быть в вам вас весь во вот все всё вы где да для до его ее её если
    есть еще ещё же за здесь и из или им их к как ко когда который которая которые кто ли либо мне
    может мы на над надо наш не него нее неё нет ни них но ну о об от очень по под при с со так
    также такой там те тем то того той только том ты у уже хотя чего чей чем что чтобы эта эти это
    этот я
    але бути був була були було в від він вона вони все де для до з за зі і й інші її їх коли ми на
    над наш не ні об по при про та так також це цей ця ці чи що щоб як який яка які є
    أن أو إلى إن الذي التي الذين بعد بعض بين تلك ثم حتى حين خلال ذلك سوف على عن عند عندما غير في
    فيه فيها قبل قد كان كانت كل كما لا لأن لكن لم لن له لها لهم ليس ما مثل مع من منذ منه منها نحن
    نحو هذا هذه هنا هناك هو هي هم وهو وهي و يا
    از است اگر اما او ای این با باید بر برای به بود تا تر خود در را شد شده شود ما مانند می نیست ها
    های هر هم همه و یا یک که کرد کند آن آنها
    αλλά αν αντί από αυτή αυτό αυτός για δεν ένα ένας εδώ είναι εκεί επί ή η ήταν θα και κατά κι με
    μετά μια μία μη μην να ο οι όπως όταν ότι που πολύ προς πως σαν σε στα στη στην στις στο στον
    στους τα τη την της τι τις το τον του τους των ως
    अपना अपनी अपने अब आप इन इस इसका इसकी इसके उन उस एक एवं और कर करना करने का कि किया की कुछ के को
    कोई गया जब जा जो तक तो था थी थे द्वारा न नहीं ने पर भी में यदि यह या ये रहा लिए वह वाले वे सब
    साथ से हम ही हुआ हुई हुए है हैं हो होता होती होते
    אבל או אותו אחרי אחת אין איך אל אם אנחנו אני את אתה באה בין גם הוא היא היה היו הם הן זאת זה זו
    יש כי כל כמו לא לו מה מן על עם רק של שלא תחת"""
